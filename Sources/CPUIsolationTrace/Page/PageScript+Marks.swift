// SPDX-License-Identifier: Apache-2.0

extension PageScript {
  /// Single marks, the arrows between lanes, and what is told about a place under the pointer.
  static let marks = #"""
    const MOST_ARROWS = {[IPI]: 300, [DEFERRAL]: 60};

    function drawMarks(context, row, part, x0, width) {
      const scale = width / (view.to - view.from);
      let drawn = 0;
      for (const series of row.list) {
        const end = lowerBound(series.start, view.to);
        for (let i = lowerBound(series.start, view.from - series.longest); i < end; i++) {
          const length = !series.length ? 0
            : series.length[i] < 0 ? part.length - series.start[i] : series.length[i];
          if (series.start[i] + length < view.from) continue;
          const a = Math.max(0, (series.start[i] - view.from) * scale);
          const b = Math.min(width, (series.start[i] + length - view.from) * scale);
          let [top, height] = [row.top, row.height];
          if (row.kind === DEFERRAL) {
            // Their times overlap: each work has a place of its own, as far as there are places.
            height = row.height / 3;
            top += (part.identities[series.identity[i]][0] % 3) * height;
          }
          context.fillRect(x0 + a, top, Math.max(1.5, b - a), Math.max(2, height - .5));
          drawn++;
        }
      }
      return drawn;
    }

    function arrow(context, x1, y1, x2, y2) {
      const angle = Math.atan2(y2 - y1, x2 - x1);
      context.beginPath();
      context.moveTo(x1, y1);
      context.lineTo(x2, y2);
      context.stroke();
      context.beginPath();
      context.moveTo(x2, y2);
      for (const side of [-.4, .4]) {
        context.lineTo(x2 - 7 * Math.cos(angle + side), y2 - 7 * Math.sin(angle + side));
      }
      context.fill();
    }

    /** From the sender's lane to the target's, where there are few enough to follow. */
    function drawArrows(context, part, x0, width) {
      const scale = width / (view.to - view.from);
      let drawn = 0;
      for (const kind of [IPI, DEFERRAL]) {
        const rows = part.placed.flatMap((lane) => lane.rows).filter((row) => row.kind === kind);
        const all = rows.reduce((sum, row) => sum + row.visible, 0);
        if (!all || all > MOST_ARROWS[kind] || rows.some((row) => !row.isSingle)) continue;
        context.strokeStyle = context.fillStyle = colours.kinds[kind];
        context.globalAlpha = kind === IPI ? .8 : .45;
        for (const row of rows) {
          for (const series of row.list) {
            const end = lowerBound(series.start, view.to);
            for (let i = lowerBound(series.start, view.from); i < end; i++) {
              const from = part.laneOf.get(part.identities[series.identity[i]][2]);
              if (!from) continue;
              const x = x0 + (series.start[i] - view.from) * scale;
              const isUp = from.top > row.top;
              const sends = kind === IPI && from.rows.find((r) => r.kind === SENT);
              const y = sends ? sends.top : isUp ? from.top + 2 : from.bottom - 2;
              arrow(context, x, y, x, isUp ? row.top + row.height : row.top);
              drawn++;
            }
          }
        }
        context.globalAlpha = 1;
      }
      return drawn;
    }

    function drawLabels(context, lane) {
      context.textAlign = 'left';
      context.fillStyle = lane.fold ? colours.kinds[2] : colours.ink;
      const middle = Math.max(lane.top + 12, (lane.top + lane.bottom) / 2 + 1);
      const text = lane.fold ? (isUnfolded ? '▾ ' : '▸ ') + lane.title : 'CPU ' + lane.cpu;
      const roomy = lane.bottom - lane.top > 30;
      context.fillText(text, 0, roomy && lane.name ? middle - 5 : middle + 2, LABELS - 6);
      if (!lane.name) return;
      context.fillStyle = colours.faint;
      if (roomy) context.fillText(lane.name, 0, middle + 10, LABELS - 6);
      else {
        const x = context.measureText(text).width + 6;
        context.fillText(lane.name, x, middle + 2, LABELS - 6 - x);
      }
    }

    function drawLanes(part, most) {
      const [context, full] = prepare(part.canvas, part.height);
      const width = Math.max(1, Math.floor(full - LABELS - RIGHT));
      context.strokeStyle = colours.line;
      ticks(part, width, (x) => {
        context.beginPath();
        context.moveTo(Math.round(x) + .5, 0);
        context.lineTo(Math.round(x) + .5, part.height);
        context.stroke();
      });
      const drawn = {marks: 0, columns: 0, arrows: 0};
      for (const lane of part.placed) {
        context.fillStyle = colours.lane;
        context.globalAlpha = .7;
        context.fillRect(LABELS, lane.top - 2, width, lane.bottom - lane.top + 3);
        context.globalAlpha = 1;
        drawLabels(context, lane);
        for (const row of lane.rows) {
          if (row.isSingle) {
            context.fillStyle = colours.kinds[row.kind];
            context.globalAlpha = row.kind === SENT ? .5 : row.kind === USER ? .8 : 1;
            drawn.marks += drawMarks(context, row, part, LABELS, width);
            context.globalAlpha = 1;
          } else {
            drawStrip(context, row, LABELS, most);
            drawn.columns += row.columns.reduce((sum, c) => sum + (c > 0), 0);
          }
        }
      }
      context.fillStyle = colours.lost;
      for (const [cpu, time] of part.losses) {
        const lane = part.laneOf.get(cpu);
        if (!lane || time < view.from || time > view.to) continue;
        const x = LABELS + (time - view.from) / (view.to - view.from) * width;
        context.fillRect(x - 1, lane.top - 2, 2, lane.bottom - lane.top + 3);
      }
      drawn.arrows = drawArrows(context, part, LABELS, width);
      Object.assign(part.canvas.dataset, drawn);
    }

    function draw() {
      readColours();
      const sizes = data.parts.map((p) => Math.max(1, Math.floor(p.canvas.parentElement.clientWidth - LABELS - RIGHT)));
      // One shade means the same in every part.
      const most = Math.max(...data.parts.map((part, i) => measure(part, sizes[i])));
      for (const part of data.parts) {
        drawOverview(part);
        drawAxis(part);
        drawLanes(part, most);
      }
      const isWhole = view.from === 0 && view.to === wholeLength;
      document.getElementById('window').textContent = isWhole
        ? duration(wholeLength) : `${duration(view.from)} + ${duration(view.to - view.from)}`;
    }

    /** What the page knows of a mark. */
    function tell(part, series, i) {
      const [name, sender, cpu, callsite] = part.identities[series.identity[i]];
      const lines = [`${title(series.kind)} · ${part.texts[name]}`];
      const verb = {[IPI]: 'from', [SENT]: 'from', [DEFERRAL]: 'from'}[series.kind] ?? (cpu < 0 ? 'in' : 'from');
      if (sender >= 0) lines.push(`${verb} ${part.texts[sender]}` + (cpu < 0 ? '' : ` on CPU ${cpu}`));
      if (callsite >= 0) lines.push('at ' + part.texts[callsite]);
      if (series.kind === SENT) lines.push(`to CPU ${series.target[i]}`);
      let time = 'at ' + duration(series.start[i], part);
      if (series.length) {
        time += series.length[i] < 0 ? ', not ended'
          : (series.kind === DEFERRAL ? ', waited ' : ', took ') + duration(series.length[i], part);
      }
      lines.push(time);
      if (series.merges?.[i]) lines.push(`sent ${series.merges[i] + 1} times`);
      if (series.weight > 1) lines.push(`one of ${series.weight} is drawn`);
      return lines.join('\n');
    }

    function describe(part, x, y) {
      const width = Math.floor(part.canvas.clientWidth - LABELS - RIGHT);
      if (x < LABELS) return null;
      const lane = part.placed.find((l) => y >= l.top - 3 && y <= l.bottom + 3);
      if (!lane) return null;
      const scale = (view.to - view.from) / width;
      const time = view.from + (x - LABELS) * scale;
      const rows = [...lane.rows].sort((a, b) =>
        Math.abs(a.top + a.height / 2 - y) - Math.abs(b.top + b.height / 2 - y));
      for (const row of rows) {
        if (!row.isSingle) continue;
        let best = null;
        for (const series of row.list) {
          const end = lowerBound(series.start, time + 4 * scale);
          for (let i = lowerBound(series.start, time - series.longest - 4 * scale); i < end; i++) {
            const length = !series.length ? 0
              : series.length[i] < 0 ? part.length - series.start[i] : series.length[i];
            const distance = Math.max(series.start[i] - time, time - series.start[i] - length, 0);
            if (distance > 4 * scale) continue;
            const slot = row.kind === DEFERRAL
              ? Math.abs(row.top + (part.identities[series.identity[i]][0] % 3 + .5) * row.height / 3 - y) : 0;
            const rank = distance / scale + slot;
            if (!best || rank <= best.rank) best = {rank, series, i};
          }
        }
        if (best) return tell(part, best.series, best.i);
        if (Math.abs(row.top + row.height / 2 - y) < row.height / 2 && row.kind !== USER) break;
      }
      const column = Math.floor(x - LABELS);
      const counts = lane.rows.filter((row) => row.columns?.[column])
        .map((row) => row.kind === USER
          ? `${Math.round(100 * Math.min(1, row.columns[column]))} % in user`
          : row.kind === DEFERRAL ? `${row.columns[column].toFixed(1)} works pending`
          : `${group(row.columns[column])} ${title(row.kind)}`);
      if (!counts.length) return null;
      return [lane.title ?? `CPU ${lane.cpu}`, ...counts,
        `in ${duration(scale, part)} at ${duration(time, part)}`].join('\n');
    }

    """#
}
