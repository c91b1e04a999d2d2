// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension ModelMachine {
    /// Waits until every CPU has passed.
    func synchronize() {
      var wait = GracePeriodWait(core.slots, excluding: nil)
      var backoff = Backoff()
      while !wait.poll(core.slots) { backoff.wait() }
    }

    /// Unlinks what `watchForFreed` looks at, and frees it after a grace period.
    func unlinkAndFree() {
      flags[0].store(1, ordering: .relaxed)
      synchronize()
      flags[1].store(1, ordering: .relaxed)
    }

    /// The thread of CPU 0 leaves; another one comes, and enters once.
    func changeOwner() {
      OwnerTransitions.detach(become(0))
      let slot = attach(0)
      leave(slot)
      enter(slot)
    }

    /// Runs, after the last body, what CPU 0 would run at its next entry.
    func runWhatIsLeft() {
      if core.slots[0].state.work.load(ordering: .relaxed) != 0 {
        Drain(core, core.slots[0]).drainPending()
      }
    }

    /// Waits until a handler or a call has run.
    func awaitRun() {
      var backoff = Backoff()
      while runs == 0 { backoff.wait() }
    }

    /// Has type 0 look at what `unlinkAndFree` unlinks, and fail where that is freed under its eyes.
    func watchForFreed() {
      replaceHandler { machine in
        if machine.flags[0].load(ordering: .relaxed) == 0 {
          machine.expect(
            machine.flags[1].load(ordering: .relaxed) == 0, "freed while a handler looks at it")
        }
      }
    }
  }
#endif
