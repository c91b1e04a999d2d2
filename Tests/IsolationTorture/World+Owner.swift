// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import CTorture
internal import Glibc

extension World {
  /// A thread that is a CPU again and again until the run is over, in every way to become one.
  func own(_ cpu: Int) {
    var turn = Turn(torture, stream: 8 + number * Self.cpus + cpu)
    while !torture.isOver {
      switch turn.random.below(6) {
      case 0: launch(cpu, &turn)
      case 1: attachHandle(cpu, &turn)
      case 2 where torture.faults.isOn(.kill): die(cpu, &turn)
      default: attach(cpu, &turn)
      }
    }
  }

  private func attach(_ cpu: Int, _ turn: inout Turn) {
    do throws(IsolationError) {
      let local = try coordinator.attach(to: cpu)
      live(local, cpu, &turn)
      local.detach()
    } catch {
      turn.check(false, "CPU \(cpu) of \(name) has no thread, and cannot be attached to: \(error)")
    }
  }

  private func launch(_ cpu: Int, _ turn: inout Turn) {
    let stream = turn.row
    let seed = turn.random.below(1 << 30)
    do throws(IsolationError) {
      let thread = try coordinator.launch(on: cpu) { local in
        DisturbedThreads.add(ctr_thread_id())
        var turn = Turn(self.torture, stream: stream)
        turn.random = SeededGenerator(seed: UInt64(seed), stream: stream)
        self.live(local, cpu, &turn)
        DisturbedThreads.remove(ctr_thread_id())
      }
      thread.join()
    } catch {
      turn.check(false, "CPU \(cpu) of \(name) cannot be launched: \(error)")
    }
  }

  private func live(_ local: borrowing LocalCPU, _ cpu: Int, _ turn: inout Turn) {
    turn.count(.attachment)
    var view = OwnerView(self, cpu)
    let caches = OwnerCaches(self, local)
    for _ in 0..<20 << turn.random.below(8) where !torture.isOver {
      step(local, caches, &view, &turn)
    }
  }

  // MARK: Steps

  /// One step, after which everything holds that was promised before its last look at what is pending.
  private func step(
    _ local: borrowing LocalCPU, _ caches: borrowing OwnerCaches, _ view: inout OwnerView,
    _ turn: inout Turn
  ) {
    view.read()
    switch turn.random.below(12) {
    case 0..<4:
      local.inUser {
        userLife(local, &turn)
        view.read()
        if turn.bug == .skippedDrain { view.check("user", &turn) }
      }
      turn.count(.entry)
    case 4, 5:
      local.inUser {
        for _ in 0..<turn.random.below(4) {
          userLife(local, &turn)
          view.read()
          local.inKernel {
            view.check("a section", &turn)
            visit(local, caches, view, &turn)
          }
          turn.count(.entry)
        }
        view.read()
      }
    case 6:
      local.inGuest {
        turn.spin()
        view.read()
      }
      turn.count(.guest)
    case 7:
      local.idle(for: .microseconds(turn.random.below(200)))
      turn.count(.idle)
    case 8:
      local.declareQuiescent()
      turn.count(.quiescent)
    case 9:
      local.enterUser()
      turn.spin()
      view.read()
      local.handle.enterKernel()
      turn.count(.entry)
    default:
      local.safePoint()
      turn.count(.safePoint)
    }
    view.check("a step", &turn)
    visit(local, caches, view, &turn)
    send(local, &turn)
    if turn.random.oneIn(512) { wait(local.number, &turn) }
  }

  private func userLife(_ local: borrowing LocalCPU, _ turn: inout Turn) {
    turn.reach(.inUser)
    turn.spin()
    local.poll()
    turn.count(.poll)
    if turn.random.oneIn(8) { regions.look(mayWait: false, &turn) }
    if turn.random.oneIn(4) { probes.hit(&turn) }
    if turn.random.oneIn(64) { usleep(UInt32(turn.random.below(200))) }
  }

  /// What a CPU does in kernel.
  private func visit(
    _ local: borrowing LocalCPU, _ caches: borrowing OwnerCaches, _ view: OwnerView,
    _ turn: inout Turn
  ) {
    if turn.random.oneIn(2) { pages.look(caches.translations, local, &turn) }
    lookups.look(caches.lookups, local, view.key, view.entry, &turn)
    if turn.random.oneIn(8) { regions.look(mayWait: true, &turn) }
    if turn.random.oneIn(4) { probes.hit(&turn) }
    if turn.random.oneIn(4) { traces.record(&turn) }
    tables.look(&turn)
    keys.look(local, view.keys, &turn)
    timers.look(local, view.timer, &turn)
    if turn.random.oneIn(2) { hazards.read(&turn) }
    if turn.random.oneIn(16) { hazards.replace(mayReclaim: false, &turn) }
    if turn.random.oneIn(8) { pools.use(&turn) }
  }

  private func send(_ local: borrowing LocalCPU, _ turn: inout Turn) {
    let writer = Self.writer(ofCPU: local.number)
    switch turn.random.below(16) {
    case 0..<4:
      sends.send(with: local, by: writer, &turn) { local.send($0, to: $1) }
    case 4:
      let handle = local.handle
      sends.send(with: handle, by: writer, &turn) { handle.send($0, to: $1) }
    case 5: sends.sendToMask(with: local, by: writer, &turn)
    case 6: calls.post(with: local, by: writer, &turn)
    case 7: calls.postMessage(by: writer, &turn)
    case 8: timers.bringForward(&turn)
    default: break
    }
  }

  /// A CPU in kernel, outside sections, may wait too, and serves its own work meanwhile: for calls any, for a grace period one
  /// for housekeeping.
  private func wait(_ cpu: Int, _ turn: inout Turn) {
    if turn.random.oneIn(2) { return calls.call(by: Self.writer(ofCPU: cpu), &turn) }
    guard cpu == 0 else { return }
    let outcome = coordinator.synchronize(timeout: Torture.generous)
    turn.check(outcome == .settled, "the grace period of a CPU ended as \(outcome)")
    turn.count(.gracePeriod)
  }

  // MARK: Handles

  private func attachHandle(_ cpu: Int, _ turn: inout Turn) {
    guard let handle = handle(cpu, &turn) else { return }
    var view = OwnerView(self, cpu)
    for _ in 0..<200 where !torture.isOver { step(handle, &view, &turn) }
    handle.detach()
  }

  private func handle(_ cpu: Int, _ turn: inout Turn) -> CPUHandle? {
    do throws(IsolationError) {
      let handle = try coordinator.attachHandle(to: cpu)
      turn.count(.attachment)
      return handle
    } catch {
      turn.check(false, "CPU \(cpu) of \(name) cannot be attached to by a handle: \(error)")
      return nil
    }
  }

  private func step(_ handle: CPUHandle, _ view: inout OwnerView, _ turn: inout Turn) {
    handle.enterUser()
    turn.spin()
    handle.poll()
    view.read()
    handle.enterKernel()
    turn.count(.entry)
    view.check("a step by a handle", &turn)
    tables.look(&turn)
    keys.look(handle, view.keys, &turn)
    pages.look(asCPU: handle.number, &turn)
    lookups.look(&turn)
    switch turn.random.below(8) {
    case 0: handle.idle(for: .microseconds(50))
    case 1: handle.declareQuiescent()
    case 2: handle.safePoint()
    case 3:
      sends.send(with: handle, by: Self.writer(ofCPU: handle.number), &turn) {
        handle.send($0, to: $1)
      }
    default: break
    }
  }

  /// Another thread is this CPU, and ends without having detached, in user or in kernel.
  private func die(_ cpu: Int, _ turn: inout Turn) {
    let stream = turn.row
    let seed = turn.random.below(1 << 30)
    let thread = TortureThread {
      var turn = Turn(self.torture, stream: stream)
      turn.random = SeededGenerator(seed: UInt64(seed), stream: stream)
      self.liveAndDie(cpu, &turn)
    }
    guard let thread else { return turn.check(false, "there is no thread to be killed") }
    thread.join()
    turn.count(.death)
  }

  private func liveAndDie(_ cpu: Int, _ turn: inout Turn) {
    guard let handle = handle(cpu, &turn) else { return }
    var view = OwnerView(self, cpu)
    for _ in 0..<turn.random.below(50) { step(handle, &view, &turn) }
    if turn.random.oneIn(2) { handle.enterUser() }
  }
}
