// SPDX-License-Identifier: Apache-2.0

extension PageScript {
  /// Which lanes there are, and where the rows of each lie.
  static let lanes = #"""
    const order = [USER, DEFERRAL, ...kinds.keys(), SENT]
      .filter((k, i, all) => all.indexOf(k) === i);
    const hidden = new Set();
    const timeline = document.getElementById('timeline');
    const title = (kind) => kind === SENT ? 'sends' : kinds[kind].title;
    let isUnfolded = false;

    /** Isolated CPUs have lanes; of the others, many share one until it is unfolded. */
    function lanesOf(part) {
      const isolated = part.lanes.filter((l) => l.isolated);
      const others = part.lanes.filter((l) => !l.isolated);
      const lanes = isolated.map((l) => ({...l, cpus: [l.cpu]}));
      if (isolated.length && others.length > 4 && !isUnfolded) {
        lanes.push({cpus: others.map((l) => l.cpu), fold: true, title: others.length + ' other CPUs'});
      } else {
        if (others.length > 4 && isolated.length) {
          lanes.push({cpus: [], fold: true, title: 'fold the others'});
        }
        lanes.push(...others.map((l) => ({...l, cpus: [l.cpu]})));
      }
      return lanes;
    }

    function place(part) {
      const byCPU = new Map();
      for (const series of part.series) {
        if (hidden.has(series.kind) || !series.start.length) continue;
        if (!byCPU.has(series.cpu)) byCPU.set(series.cpu, []);
        byCPU.get(series.cpu).push(series);
      }
      const lanes = lanesOf(part);
      let count = 0;
      for (const lane of lanes) {
        const all = lane.cpus.flatMap((cpu) => byCPU.get(cpu) ?? []);
        lane.rows = order.map((kind) => ({kind, list: all.filter((s) => s.kind === kind)}))
          .filter((row) => row.list.length);
        count += lane.rows.length;
      }
      // Few rows are high, many are low.
      const height = Math.max(5, Math.min(18, Math.floor(560 / Math.max(1, count))));
      let y = 6;
      for (const lane of lanes) {
        lane.top = y;
        for (const row of lane.rows) {
          row.top = y;
          row.height = row.kind === DEFERRAL ? Math.max(height, 9) : height;
          y += row.height + 1;
        }
        y = Math.max(y, lane.top + 17);
        lane.bottom = y;
        y += 7;
      }
      part.placed = lanes;
      part.laneOf = new Map(lanes.flatMap((lane) => lane.cpus.map((cpu) => [cpu, lane])));
      part.height = y;
    }

    function build() {
      const holder = timeline.querySelector('.parts');
      for (const part of data.parts) {
        const box = document.createElement('div');
        box.innerHTML = '<h3></h3><canvas class="overview"></canvas><canvas class="axis"></canvas>'
          + '<div class="scroll"><canvas class="lanes" tabindex="0" role="img"></canvas></div>';
        const heading = box.querySelector('h3');
        heading.textContent = part.title;
        heading.hidden = !part.title;
        [part.overview, part.axis, part.canvas] = box.querySelectorAll('canvas');
        part.canvas.setAttribute('aria-label', `timeline of ${part.lanes.length} CPUs`);
        holder.append(box);
      }
      const used = order.filter((kind) => data.parts.some((p) => p.series.some((s) => s.kind === kind)));
      const legend = timeline.querySelector('.legend');
      for (const kind of used) {
        const item = document.createElement('li');
        item.innerHTML = '<button type="button" aria-pressed="true"><i></i></button>';
        const button = item.firstChild;
        button.firstChild.style.background = `var(--kind${kind === SENT ? IPI : kind})`;
        if (kind === SENT) button.firstChild.style.opacity = .45;
        button.append(title(kind));
        button.onclick = () => {
          if (!hidden.delete(kind)) hidden.add(kind);
          button.setAttribute('aria-pressed', String(!hidden.has(kind)));
          data.parts.forEach(place);
          draw();
        };
        legend.append(item);
      }
    }

    """#
}
