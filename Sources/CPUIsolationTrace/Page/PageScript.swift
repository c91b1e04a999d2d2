// SPDX-License-Identifier: Apache-2.0

/// What makes the page move: it draws the timeline, zooms, and lets the tables follow.
enum PageScript {
  static let text =
    "(() => {\n'use strict';\n" + data + lanes + drawing + marks + window + tables + "})();\n"

  /// Reads what `PageData` wrote.
  static let data = #"""
    const data = JSON.parse(document.getElementById('data').textContent);
    const kinds = data.kinds;
    const USER = kinds.findIndex((k) => k.key === 'context');
    const DEFERRAL = kinds.findIndex((k) => k.key === 'deferral');
    const IPI = kinds.findIndex((k) => k.key === 'ipi');
    const SENT = kinds.length;

    function numbers(text) {
      const raw = atob(text);
      let place = 0;
      return {
        next() {
          let value = 0, factor = 1, byte;
          do {
            byte = raw.charCodeAt(place++);
            value += (byte & 127) * factor;
            factor *= 128;
          } while (byte > 127);
          return value;
        },
        get isAtEnd() { return place >= raw.length; },
      };
    }

    function decode(series, part) {
      const kind = kinds[series.activity];
      const from = numbers(series.marks);
      const count = from.next();
      series.kind = series.activity;
      series.weight = 2 ** series.level;
      series.start = new Float64Array(count);
      series.identity = new Uint32Array(count);
      series.length = kind.duration ? new Float64Array(count) : null;
      series.merges = series.activity === DEFERRAL ? new Uint32Array(count) : null;
      series.longest = 0;
      let time = 0;
      for (let i = 0; i < count; i++) {
        time += from.next();
        series.start[i] = time;
        series.identity[i] = from.next();
        if (series.length) {
          // What is open goes on to the end, and has the length -1.
          series.length[i] = from.next() - 1;
          const length = series.length[i] < 0 ? part.length - time : series.length[i];
          series.longest = Math.max(series.longest, length);
        }
        if (series.merges) series.merges[i] = from.next();
      }
      delete series.marks;
      if (series.bins) {
        const counts = numbers(series.bins);
        series.bins = [];
        while (!counts.isAtEnd) series.bins.push(counts.next());
      }
    }

    /** The first index whose value is not below `time`. */
    function lowerBound(values, time) {
      let low = 0, high = values.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (values[middle] < time) low = middle + 1; else high = middle;
      }
      return low;
    }

    /** Interrupts once more, by the CPUs that sent them. */
    function sends(part) {
      const found = new Map();
      for (const series of part.series.filter((s) => s.kind === IPI)) {
        for (let i = 0; i < series.start.length; i++) {
          const cpu = part.identities[series.identity[i]][2];
          if (cpu < 0) continue;
          if (!found.has(cpu)) found.set(cpu, []);
          found.get(cpu).push([series.start[i], series.identity[i], series.cpu, series.weight]);
        }
      }
      for (const [cpu, list] of found) {
        list.sort((a, b) => a[0] - b[0]);
        part.series.push({
          cpu, kind: SENT, weight: 1, longest: 0, length: null,
          start: Float64Array.from(list, (l) => l[0]),
          identity: Uint32Array.from(list, (l) => l[1]),
          target: Int32Array.from(list, (l) => l[2]),
          weights: Float64Array.from(list, (l) => l[3]),
        });
      }
    }

    for (const part of data.parts) {
      for (const series of part.series) decode(series, part);
      sends(part);
    }
    const wholeLength = Math.max(1, ...data.parts.map((p) => p.length));

    const group = (n) => Math.round(n).toLocaleString('en-US');
    function duration(time, part = data.parts[0]) {
      if (part.ticks) return group(time) + ' ticks';
      for (const [unit, name] of [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs']]) {
        if (time < unit) continue;
        const value = time / unit;
        const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
        const power = 10 ** digits;
        return (Math.floor(value * power) / power).toFixed(digits) + ' ' + name;
      }
      return Math.round(time) + ' ns';
    }

    """#
}
