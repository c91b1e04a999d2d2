// SPDX-License-Identifier: Apache-2.0

extension PageScript {
  /// Tables that follow the window, sort and search; and the beginning of it all.
  static let tables = #"""
    const empty = () => ({count: 0, total: 0, longest: 0, at: 0, merged: 0, drained: 0, waits: [], isRough: false});

    /** What begins within the window, by the keys of the tables' rows. */
    function count(part) {
      const found = new Map();
      const add = (key, series, i) => {
        const sum = found.get(key) ?? empty();
        found.set(key, sum);
        sum.count += series.weight;
        sum.isRough ||= series.weight > 1;
        const length = series.length ? series.length[i] : -1;
        if (series.merges) sum.merged += series.merges[i] * series.weight;
        if (length < 0) return;
        sum.drained += series.weight;
        sum.total += length * series.weight;
        if (series.merges) sum.waits.push(length);
        if (length >= sum.longest) [sum.longest, sum.at] = [length, series.start[i]];
      };
      for (const series of part.series) {
        if (series.kind === SENT || series.kind === USER) continue;
        const end = view.to >= wholeLength ? series.start.length : lowerBound(series.start, view.to);
        for (let i = lowerBound(series.start, view.from); i < end; i++) {
          const [name, sender] = part.identities[series.identity[i]];
          if (series.kind !== DEFERRAL) add(`cpu ${series.cpu} ${series.kind}`, series, i);
          if (series.kind === IPI) add(`send ${part.texts[sender]}\n${part.texts[name]}`, series, i);
          else if (series.kind === DEFERRAL) add(`work ${series.cpu} ${part.texts[name]}`, series, i);
          else add(`source ${series.kind} ${part.texts[name]}`, series, i);
        }
      }
      return found;
    }

    function keyOf(row, table) {
      const d = row.dataset;
      if (table.classList.contains('senders')) return `send ${d.sender}\n${d.callback}`;
      if (table.classList.contains('sources')) return `source ${d.kind} ${d.name}`;
      return `work ${d.cpu} ${d.work}`;
    }

    function valueOf(sum, field) {
      if (field === 'deferred') return sum.count;
      if (field !== 'median') return sum[field];
      return sum.waits.sort((a, b) => a - b)[sum.waits.length >> 1] ?? 0;
    }

    const isTime = (field) => ['total', 'longest', 'median'].includes(field);

    function setCell(cell, value, isRough, part) {
      const field = cell.dataset.field;
      cell.dataset.now = value;
      cell.textContent = isTime(field) ? (value ? duration(value, part) : '') : (isRough ? '≈ ' : '') + group(value);
    }

    function setLedger(cell, sum, part, most) {
      cell.style.setProperty('--heat', (sum.count ? 100 * Math.log1p(sum.count) / Math.log1p(most) : 0) + '%');
      cell.dataset.now = sum.count;
      cell.dataset.nowAt = sum.at;
      cell.dataset.nowLongest = sum.longest;
      cell.innerHTML = !sum.count ? '' : `<b>${sum.isRough ? '≈ ' : ''}${group(sum.count)}</b>`
        + (sum.total ? `<small>${duration(sum.total, part)} · <a>${duration(sum.longest, part)}</a></small>` : '');
    }

    function filterTables(isWhole) {
      for (const mark of document.querySelectorAll('h2 .window')) {
        mark.textContent = isWhole ? '' : `in the window of ${duration(view.to - view.from)}`;
      }
      const found = data.parts.map((part) => isWhole ? null : count(part));
      for (const table of document.querySelectorAll('table[data-part]')) {
        const part = data.parts[table.dataset.part];
        const sums = found[table.dataset.part];
        if (table.classList.contains('ledger')) {
          const cells = [...table.querySelectorAll('td[data-kind]')].map((cell) => {
            const d = cell.dataset;
            const whole = {count: +d.count, total: +d.total, longest: +d.longest, at: +d.at};
            const row = cell.parentElement.dataset;
            return [cell, sums ? sums.get(`cpu ${row.cpu} ${d.kind}`) ?? empty() : whole];
          });
          const most = new Map();
          for (const [cell, sum] of cells) {
            most.set(cell.dataset.kind, Math.max(most.get(cell.dataset.kind) ?? 1, sum.count));
          }
          for (const [cell, sum] of cells) setLedger(cell, sum, part, most.get(cell.dataset.kind));
          continue;
        }
        for (const row of table.tBodies[0].rows) {
          const sum = sums ? sums.get(keyOf(row, table)) : null;
          row.classList.toggle('outside', !!sums && !sum);
          for (const cell of row.querySelectorAll('[data-field]')) {
            setCell(cell, sums ? (sum ? valueOf(sum, cell.dataset.field) : 0) : +cell.dataset.value,
              sum?.isRough, part);
          }
        }
        if (table.tFoot) table.tFoot.hidden = !isWhole;
        search(table);
      }
      if (document.querySelector('.sorted')) document.querySelectorAll('.sorted').forEach(sort);
    }

    function search(table) {
      const words = (table.searched?.value ?? '').toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of table.tBodies[0].rows) {
        const text = words.length ? row.textContent.toLowerCase() : '';
        row.hidden = row.classList.contains('outside') || !words.every((word) => text.includes(word));
      }
    }

    function sort(table) {
      const {column, direction} = table.sorting;
      const value = (row) => {
        const cell = row.cells[column];
        return cell.dataset.now ?? cell.dataset.value ?? cell.dataset.count ?? cell.textContent;
      };
      for (const body of table.tBodies) {
        if (body.className === 'fold') continue;
        const rows = [...body.rows].map((row) => [value(row), row]);
        const compare = new Intl.Collator('en', {numeric: true}).compare;
        rows.sort(([a], [b]) => direction * (a === '' || b === '' || isNaN(a) || isNaN(b) ? compare(a, b) : a - b));
        body.append(...rows.map(([, row]) => row));
      }
    }

    for (const table of document.querySelectorAll('table[data-part]')) {
      const heads = [...table.tHead.rows[0].cells];
      heads.forEach((head, column) => {
        head.tabIndex = 0;
        head.onkeydown = (event) => { if (event.key === 'Enter') head.click(); };
        head.onclick = () => {
          const isNumber = head.classList.contains('number');
          const was = head.getAttribute('aria-sort');
          const direction = was ? (was === 'descending' ? 1 : -1) : isNumber ? -1 : 1;
          heads.forEach((h) => h.removeAttribute('aria-sort'));
          head.setAttribute('aria-sort', direction < 0 ? 'descending' : 'ascending');
          table.sorting = {column, direction};
          table.classList.add('sorted');
          sort(table);
        };
      });
      if (table.classList.contains('ledger')) {
        for (const cell of table.querySelectorAll('td[data-kind]')) {
          cell.style.setProperty('--heat-colour', `var(--kind${cell.dataset.kind})`);
        }
        table.addEventListener('click', (event) => {
          const fold = event.target.closest('.fold');
          if (fold) fold.nextElementSibling.classList.toggle('folded');
          if (event.target.tagName !== 'A') return;
          const d = event.target.closest('td').dataset;
          const length = Math.max(SHORTEST, +(d.nowLongest ?? d.longest) * 8);
          const middle = +(d.nowAt ?? d.at) + length / 16;
          show(middle - length / 2, middle + length / 2);
          timeline.scrollIntoView({block: 'start'});
        });
      } else if (table.tBodies[0].rows.length > 8) {
        const input = document.createElement('input');
        Object.assign(input, {type: 'search', placeholder: 'search', oninput: () => search(table)});
        input.setAttribute('aria-label', 'search in this table');
        table.searched = input;
        table.before(input);
      }
    }

    if (data.parts.some((p) => p.lanes.length)) {
      timeline.hidden = false;
      build();
      data.parts.forEach(place);
      data.parts.forEach(listen);
      document.getElementById('in').onclick = () => zoom(.5);
      document.getElementById('out').onclick = () => zoom(2);
      document.getElementById('all').onclick = () => show(0, wholeLength);
      const follow = () => {
        const window = /window=(\d+)-(\d+)/.exec(location.hash);
        if (window) [view.from, view.to] = [Math.max(0, +window[1]), Math.min(wholeLength, +window[2])];
        if (view.to - view.from < SHORTEST) [view.from, view.to] = [0, wholeLength];
        draw();
        if (window) filterTables(view.from === 0 && view.to === wholeLength);
      };
      follow();
      addEventListener('hashchange', follow);
      new ResizeObserver(() => { cancelAnimationFrame(frame); frame = requestAnimationFrame(draw); })
        .observe(timeline);
      matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
      addEventListener('beforeprint', draw);
      matchMedia('print').addEventListener('change', draw);
    }

    """#
}
