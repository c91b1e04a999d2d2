// SPDX-License-Identifier: Apache-2.0

extension PageScript {
  /// The window of time, and all that moves it.
  static let window = #"""
    const SHORTEST = 50;
    let frame = 0, filtering = 0;

    function show(from, to) {
      let length = Math.min(wholeLength, Math.max(SHORTEST, to - from));
      from = Math.min(Math.max(0, from), wholeLength - length);
      if (length > wholeLength * .9999) [from, length] = [0, wholeLength];
      [view.from, view.to] = [from, from + length];
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(draw);
      clearTimeout(filtering);
      filtering = setTimeout(settle, 120);
    }

    /** When the window has come to rest, tables and address follow. */
    function settle() {
      const isWhole = view.from === 0 && view.to === wholeLength;
      filterTables(isWhole);
      const hash = isWhole ? ' ' : `#window=${Math.round(view.from)}-${Math.round(view.to)}`;
      try { history.replaceState(null, '', hash.trim() || location.pathname + location.search); } catch {}
    }

    function zoom(factor, at = (view.from + view.to) / 2) {
      show(at - (at - view.from) * factor, at + (view.to - at) * factor);
    }

    const pan = (share) => {
      const distance = (view.to - view.from) * share;
      show(view.from + distance, view.to + distance);
    };

    function timeAt(canvas, clientX) {
      const box = canvas.getBoundingClientRect();
      const share = (clientX - box.left - LABELS) / (box.width - LABELS - RIGHT);
      return view.from + Math.min(1, Math.max(0, share)) * (view.to - view.from);
    }

    function listen(part) {
      const canvas = part.canvas;
      const tip = document.getElementById('tip');
      const pointers = new Map();
      let drag = null;
      const isLabel = (event) => event.clientX - canvas.getBoundingClientRect().left < LABELS;
      const laneAt = (event) => {
        const y = event.clientY - canvas.getBoundingClientRect().top;
        return part.placed.find((l) => y >= l.top - 3 && y <= l.bottom + 3);
      };

      canvas.addEventListener('wheel', (event) => {
        if (isLabel(event)) return;
        event.preventDefault();
        const isSideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
        const pixels = (event.deltaY || event.deltaX) * (event.deltaMode ? 16 : 1);
        if (isSideways) pan((event.deltaX || event.deltaY) / canvas.clientWidth);
        else zoom(1.0018 ** Math.max(-400, Math.min(400, pixels)), timeAt(canvas, event.clientX));
      }, {passive: false});

      canvas.addEventListener('pointerdown', (event) => {
        canvas.focus({preventScroll: true});
        if (isLabel(event)) {
          if (laneAt(event)?.fold) {
            isUnfolded = !isUnfolded;
            data.parts.forEach(place);
            draw();
          }
          return;
        }
        canvas.setPointerCapture(event.pointerId);
        pointers.set(event.pointerId, event.clientX);
        const pans = event.shiftKey || event.pointerType === 'touch';
        drag = {x: event.clientX, from: view.from, to: view.to, pans, pinch: pinch()};
      });

      /** Where two fingers are: their middle and their distance. */
      function pinch() {
        if (pointers.size !== 2) return null;
        const [a, b] = [...pointers.values()];
        return {distance: Math.max(20, Math.abs(a - b)), time: timeAt(canvas, (a + b) / 2)};
      }

      canvas.addEventListener('pointermove', (event) => {
        if (pointers.has(event.pointerId)) pointers.set(event.pointerId, event.clientX);
        if (drag?.pinch && pointers.size === 2) {
          const now = pinch();
          const factor = drag.pinch.distance / now.distance;
          const at = drag.pinch.time;
          show(at - (at - drag.from) * factor, at + (drag.to - at) * factor);
        } else if (drag?.pans) {
          const width = canvas.clientWidth - LABELS - RIGHT;
          const distance = (drag.x - event.clientX) / width * (drag.to - drag.from);
          show(drag.from + distance, drag.to + distance);
        } else if (drag) {
          draw();
          const context = canvas.getContext('2d');
          const left = canvas.getBoundingClientRect().left;
          context.fillStyle = colours.kinds[2];
          context.globalAlpha = .2;
          context.fillRect(drag.x - left, 0, event.clientX - drag.x, part.height);
          context.globalAlpha = 1;
        }
        const box = canvas.getBoundingClientRect();
        const text = drag ? null : describe(part, event.clientX - box.left, event.clientY - box.top);
        canvas.style.cursor = isLabel(event) ? (laneAt(event)?.fold ? 'pointer' : 'default') : '';
        tip.hidden = !text;
        if (!text) return;
        tip.textContent = text;
        tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)) + 'px';
        tip.style.top = Math.max(4, Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)) + 'px';
      });

      const release = (event) => {
        pointers.delete(event.pointerId);
        if (drag && !drag.pans && !drag.pinch && event.type === 'pointerup') {
          const [a, b] = [timeAt(canvas, drag.x), timeAt(canvas, event.clientX)].sort((x, y) => x - y);
          if (Math.abs(event.clientX - drag.x) > 4) show(a, b);
        }
        drag = null;
      };
      canvas.addEventListener('pointerup', release);
      canvas.addEventListener('pointercancel', release);
      canvas.addEventListener('pointerleave', () => { tip.hidden = true; });
      canvas.addEventListener('dblclick', (event) => {
        if (!isLabel(event)) zoom(event.shiftKey ? 4 : .25, timeAt(canvas, event.clientX));
      });

      const move = (event) => {
        if (!event.buttons) return;
        const box = part.overview.getBoundingClientRect();
        const at = (event.clientX - box.left - LABELS) / (box.width - LABELS - RIGHT) * wholeLength;
        const half = (view.to - view.from) / 2;
        show(at - half, at + half);
      };
      part.overview.addEventListener('pointerdown', (event) => {
        part.overview.setPointerCapture(event.pointerId);
        move(event);
      });
      part.overview.addEventListener('pointermove', move);
      part.overview.addEventListener('wheel', (event) => {
        event.preventDefault();
        zoom(1.0018 ** Math.max(-400, Math.min(400, event.deltaY)));
      }, {passive: false});
    }

    document.addEventListener('keydown', (event) => {
      if (event.target.closest('input, textarea') || event.ctrlKey || event.metaKey || event.altKey) return;
      const keys = {
        ArrowLeft: () => pan(-.2), ArrowRight: () => pan(.2), a: () => pan(-.2), d: () => pan(.2),
        '+': () => zoom(.5), '=': () => zoom(.5), w: () => zoom(.5),
        '-': () => zoom(2), s: () => zoom(2), 0: () => show(0, wholeLength), Home: () => show(0, wholeLength),
      };
      const action = keys[event.key];
      if (!action || event.key === 'Home' && !event.target.closest('.lanes')) return;
      event.preventDefault();
      action();
    });

    """#
}
