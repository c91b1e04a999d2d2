// SPDX-License-Identifier: Apache-2.0

extension PageScript {
  /// Strips of density, the axis, and the strip that shows the whole recording.
  static let drawing = #"""
    const view = {from: 0, to: wholeLength};
    const LABELS = data.parts.length > 1 ? 96 : 150;
    const RIGHT = 8;
    let colours = {};
    let font = '12px system-ui, sans-serif';

    function readColours() {
      const style = getComputedStyle(document.documentElement);
      const colour = (name) => style.getPropertyValue('--' + name).trim();
      colours = {kinds: [...kinds.keys()].map((k) => colour('kind' + k))};
      colours.kinds.push(colours.kinds[IPI]);
      for (const name of ['ink', 'faint', 'line', 'lane', 'lost', 'card']) colours[name] = colour(name);
    }

    function prepare(canvas, height) {
      const width = canvas.parentElement.clientWidth;
      const ratio = Math.min(3, window.devicePixelRatio || 1);
      if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
        canvas.style.height = height + 'px';
      }
      const context = canvas.getContext('2d');
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
      context.font = font;
      return [context, width];
    }

    /** Pixels that a bin may be wide before the marks that were kept tell more than it. */
    const WIDEST_BIN = 4;

    /** How many of a series begin in each pixel column. */
    function addColumns(columns, series, part, from, to) {
      const scale = columns.length / (to - from);
      const last = columns.length - 1;
      if (series.bins && part.binWidth * scale < WIDEST_BIN) {
        for (let bin = 0; bin < series.bins.length; bin++) {
          if (!series.bins[bin]) continue;
          const a = Math.max(0, Math.floor((bin * part.binWidth - from) * scale));
          const b = Math.min(last, Math.ceil(((bin + 1) * part.binWidth - from) * scale) - 1);
          for (let x = a; x <= b; x++) columns[x] += series.bins[bin] / (b - a + 1);
        }
        return;
      }
      const end = lowerBound(series.start, to);
      for (let i = lowerBound(series.start, from); i < end; i++) {
        const x = Math.min(last, Math.floor((series.start[i] - from) * scale));
        columns[x] += series.weights ? series.weights[i] : series.weight;
      }
    }

    const lasts = (row) => row.kind === USER || row.kind === DEFERRAL;

    /** Which part of each column a CPU was in user, or had work pending, or several. */
    function addCoverage(columns, series, part, from, to) {
      const scale = columns.length / (to - from);
      const end = lowerBound(series.start, to);
      for (let i = lowerBound(series.start, from - series.longest); i < end; i++) {
        const length = series.length[i] < 0 ? part.length - series.start[i] : series.length[i];
        const a = Math.max(0, (series.start[i] - from) * scale);
        const b = Math.min(columns.length, (series.start[i] + length - from) * scale);
        for (let x = Math.floor(a); x < b; x++) {
          columns[x] += (Math.min(b, x + 1) - Math.max(a, x)) * series.weight;
        }
      }
    }

    function measure(part, width) {
      let most = 0;
      for (const lane of part.placed) {
        for (const row of lane.rows) {
          row.visible = 0;
          for (const s of row.list) {
            row.visible += lowerBound(s.start, view.to) - lowerBound(s.start, view.from - s.longest);
          }
          const isWide = part.binWidth * width / (view.to - view.from) >= WIDEST_BIN;
          row.isSingle = row.visible <= width / (lasts(row) ? 2 : 4) && row.list.length <= 8
            && (isWide || !row.list.some((s) => s.bins));
          row.columns = null;
          if (row.isSingle) continue;
          row.columns = new Float64Array(width);
          for (const series of row.list) {
            (lasts(row) ? addCoverage : addColumns)(row.columns, series, part, view.from, view.to);
          }
          if (lasts(row) || lane.fold) continue;
          for (const c of row.columns) most = Math.max(most, c);
        }
      }
      return most;
    }

    function drawStrip(context, row, x0, most) {
      context.fillStyle = colours.kinds[row.kind];
      const scale = 1 / Math.log1p(Math.max(2, most));
      for (let x = 0; x < row.columns.length; x++) {
        const count = row.columns[x];
        if (!count) continue;
        const shade = row.kind === USER ? Math.min(1, count) * .8
          : row.kind === DEFERRAL ? Math.min(1, .1 + .5 * Math.log1p(count)) : .22 + .78 * Math.min(1, Math.log1p(count) * scale);
        context.globalAlpha = row.kind === SENT ? shade * .6 : shade;
        context.fillRect(x0 + x, row.top, 1, row.height);
      }
      context.globalAlpha = 1;
    }

    /** A step of 1, 2 or 5 and zeros. */
    function step(length, lines) {
      const rough = length / lines;
      const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
      return [1, 2, 5, 10].map((f) => f * power).find((s) => s >= rough) ?? power * 10;
    }

    function tickText(time, distance, part) {
      if (part.ticks) return group(time);
      const [unit, name] = [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']]
        .find(([u]) => distance >= u || u === 1);
      const digits = Math.max(0, Math.ceil(-Math.log10(distance / unit) - 1e-9));
      return (time / unit).toLocaleString('en-US', {minimumFractionDigits: digits, maximumFractionDigits: digits}) + ' ' + name;
    }

    function ticks(part, width, draw) {
      const distance = Math.max(1, step(view.to - view.from, width / 130));
      for (let t = Math.ceil(view.from / distance) * distance; t <= view.to; t += distance) {
        draw(LABELS + (t - view.from) / (view.to - view.from) * width, tickText(t, distance, part));
      }
    }

    function drawAxis(part) {
      const [context, full] = prepare(part.axis, 22);
      const width = full - LABELS - RIGHT;
      context.fillStyle = colours.faint;
      context.textAlign = 'center';
      ticks(part, width, (x, text) => {
        const half = context.measureText(text).width / 2;
        context.fillText(text, Math.min(full - half, Math.max(LABELS + half - 20, x)), 15);
      });
    }

    function drawOverview(part) {
      const [context, full] = prepare(part.overview, 30);
      const width = Math.max(1, Math.floor(full - LABELS - RIGHT));
      if (!part.summary || part.summary.length !== width) {
        part.summary = new Float64Array(width);
        const isolated = new Set(part.lanes.filter((l) => l.isolated).map((l) => l.cpu));
        for (const series of part.series) {
          if (series.kind === SENT || !kinds[series.kind].disturbance) continue;
          if (isolated.size && !isolated.has(series.cpu)) continue;
          addColumns(part.summary, series, part, 0, wholeLength);
        }
      }
      const most = Math.max(1, ...data.parts.map((p) => p.summary ? p.summary.reduce((a, b) => Math.max(a, b), 0) : 0));
      context.fillStyle = colours.lane;
      context.fillRect(LABELS, 2, width, 26);
      context.fillStyle = colours.kinds[IPI];
      context.globalAlpha = .75;
      part.summary.forEach((count, x) => {
        if (!count) return;
        const height = Math.max(1, 24 * Math.log1p(count) / Math.log1p(most));
        context.fillRect(LABELS + x, 28 - height, 1, height);
      });
      context.globalAlpha = 1;
      context.fillStyle = colours.faint;
      context.fillText('all', 0, 19);
      const a = LABELS + view.from / wholeLength * width;
      const b = LABELS + view.to / wholeLength * width;
      context.fillStyle = colours.card;
      context.globalAlpha = .7;
      context.fillRect(LABELS, 2, a - LABELS, 26);
      context.fillRect(b, 2, LABELS + width - b, 26);
      context.globalAlpha = 1;
      context.strokeStyle = colours.ink;
      context.strokeRect(a + .5, 2.5, Math.max(1, b - a - 1), 25);
    }

    """#
}
