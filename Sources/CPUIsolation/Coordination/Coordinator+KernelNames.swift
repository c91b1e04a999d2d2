// SPDX-License-Identifier: Apache-2.0

// The names under which a reader of Linux looks for things: typing one gives the name it has here.
// swift-format-ignore: AlwaysUseLowerCamelCase
extension Coordinator {
  @available(*, unavailable, renamed: "send(_:to:)")
  public func ct_set_cpu_work() {}

  @available(*, unavailable, renamed: "call(on:)")
  public func on_each_cpu_mask() {}

  @available(*, unavailable, renamed: "call(on:where:)")
  public func on_each_cpu_cond_mask() {}

  @available(*, unavailable, renamed: "call(on:)")
  public func smp_call_function_many() {}

  @available(*, unavailable, renamed: "post(_:on:)")
  public func smp_call_function_single_async() {}

  @available(*, unavailable, renamed: "synchronize(timeout:)")
  public func synchronize_rcu() {}

  @available(*, unavailable, renamed: "startGracePeriod()")
  public func start_poll_synchronize_rcu() {}
}

// swift-format-ignore: AlwaysUseLowerCamelCase
extension LocalCPU {
  @available(*, unavailable, renamed: "enterUser()")
  public func ct_user_enter() {}

  @available(*, unavailable, renamed: "enterKernel()")
  public func ct_user_exit() {}

  @available(*, unavailable, renamed: "declareQuiescent()")
  public func rcu_note_context_switch() {}
}
