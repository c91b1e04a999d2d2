// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation

extension TextPatcher {
  /// Makes a site a probe point: while something is attached to the point, the site calls a hook, which
  /// hits the point; while nothing is, its instruction is a nop, and no flag is loaded.
  ///
  ///     static let routed = ProbePoint<(Int, Int)>("router.route", "table", "destination")
  ///
  ///     try patcher.probe(route, as: Router.routed) { table, destination in
  ///       Router.routed.hit(table, destination)
  ///       return 0
  ///     }
  ///
  /// From then on attaching to the point and removing from it patch the site, before they return: they
  /// wait for CPUs in kernel as `patch` does, and interrupt none. An attachment that cannot patch the site
  /// throws what `patch` throws, and is undone. Once the patcher is closed the site stays as it is.
  ///
  /// The site must not be patched by other means. Several sites may be one point.
  ///
  /// - Parameters:
  ///   - site: a site of this patcher.
  ///   - point: a point of the registry.
  ///   - registry: where the point was declared.
  ///   - hook: what the site calls before its original, with the same arguments; what it returns is
  ///     dropped.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Throws: as `patch`, if the site cannot be brought into line with the point now.
  /// - Progress: blocking, while CPUs that call sites are in kernel
  /// - Context: any thread, outside handlers
  /// - Allocates: yes, for as long as the registry lives
  public func probe<Arguments>(
    _ site: PatchSite, as point: ProbePoint<Arguments>, in registry: ProbeRegistry = .shared,
    hook: @escaping PatchFunction, file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) {
    try registry.follow(point) { () throws(IsolationError) in
      // Patches come one after the other. Whoever made the last one asks again after it: if the point
      // has changed, it patches again; if it changes later, who changed it patches.
      while true {
        let isAttached = point.isAttached
        do throws(IsolationError) {
          try self.patch(site, to: isAttached ? .call(hook) : .nop, file: file, line: line)
        } catch {
          if error.code == .closed || error.code == .forked { return }
          throw error
        }
        if point.isAttached == isAttached { return }
      }
    }
  }
}
