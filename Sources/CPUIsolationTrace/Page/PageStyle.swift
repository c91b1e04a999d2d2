// SPDX-License-Identifier: Apache-2.0

/// How the page looks: light and dark, on a screen and on paper.
enum PageStyle {
  /// A colour for each activity, by their numbers.
  private static let light = [
    "#c8322b", "#dd7a2f", "#3b6fd4", "#7a55c7", "#0c86a5", "#4d9a37", "#b0179b", "#a07fd8",
    "#8a6a34", "#5b6b80", "#d0488a", "#77861c", "#9aa72d", "#7cc4b7", "#dc9a22",
  ]
  private static let dark = [
    "#ff7068", "#f2a163", "#7aa5f5", "#b79cf5", "#4cc3df", "#86cf70", "#f06fe0", "#cdbaf7",
    "#cfaa6d", "#9fb0c6", "#f58bbb", "#c3d157", "#dbe67f", "#2f766b", "#e5b04d",
  ]

  private static func variables(_ colours: [String]) -> String {
    colours.enumerated().map { "--kind\($0.offset): \($0.element);" }.joined(separator: " ")
  }

  static let text = """
    :root { --page: #f6f7f9; --card: #fff; --ink: #1b2330; --faint: #667085; --line: #d9dee6;
      --lost: #8a3ffc; --warning: #9a5b00; --heat: #c8322b; --lane: #f3f5f8;
      \(variables(light)) }
    @media screen and (prefers-color-scheme: dark) { :root { --page: #12161d; --card: #1b212b;
      --ink: #e6eaf1; --faint: #97a3b6; --line: #333c4a; --lost: #be95ff; --warning: #f0b860;
      --lane: #212835; \(variables(dark)) } }
    * { box-sizing: border-box; }
    body { margin: 0 auto; padding: 24px; max-width: 1800px; background: var(--page);
      color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
    h1 { font-size: 24px; margin: 0 0 12px; }
    h2 { font-size: 17px; margin: 0 0 12px; }
    h2 small { color: var(--faint); font-weight: 400; margin-left: 8px; }
    h2 .window { color: var(--warning); }
    header .all { display: flex; flex-wrap: wrap; gap: 4px 64px; }
    h2.part { margin: 20px 0 6px; }
    section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
      padding: 18px 20px; margin-top: 20px; overflow-x: auto; }
    code { font: 13px ui-monospace, monospace; }
    button { font: inherit; font-size: 13px; color: inherit; background: var(--lane);
      border: 1px solid var(--line); border-radius: 6px; padding: 1px 9px; cursor: pointer; }
    input { font: inherit; font-size: 13px; color: inherit; background: var(--lane); width: 16em;
      border: 1px solid var(--line); border-radius: 6px; padding: 2px 8px; margin: 0 0 8px; }
    .facts { display: flex; flex-wrap: wrap; gap: 8px 32px; margin: 0; }
    .facts dt { color: var(--faint); font-size: 13px; }
    .facts dd { margin: 0; font-size: 19px; font-variant-numeric: tabular-nums; }
    .warning { color: var(--warning); margin: 10px 0 0; }
    .note { color: var(--faint); font-size: 13px; margin: 8px 0 0; }

    #timeline { position: relative; overflow: visible; }
    .tools { display: flex; gap: 8px 24px; align-items: start; margin-bottom: 8px; }
    .buttons { display: flex; gap: 6px; align-items: center; margin-left: auto;
      white-space: nowrap; }
    #window { font-size: 13px; color: var(--faint); font-variant-numeric: tabular-nums; }
    .legend { display: flex; flex-wrap: wrap; gap: 2px 6px; font-size: 13px; margin: 0;
      padding: 0; list-style: none; }
    .legend button { border-color: transparent; background: none; padding: 1px 6px; }
    .legend button[aria-pressed=false] { opacity: .4; text-decoration: line-through; }
    .legend i { display: inline-block; width: 12px; height: 12px; border-radius: 3px;
      margin-right: 6px; vertical-align: -1px; }
    .parts { display: grid; grid-auto-columns: minmax(0, 1fr); grid-auto-flow: column; gap: 18px; }
    .parts h3 { font-size: 14px; margin: 0 0 4px; }
    .parts canvas { display: block; width: 100%; }
    .scroll { max-height: 78vh; overflow: hidden auto; border-top: 1px solid var(--line); }
    .lanes { touch-action: pan-y; cursor: crosshair; outline: none; }
    .lanes:focus-visible { outline: 2px solid var(--kind2); }
    .overview { cursor: grab; touch-action: none; }
    #tip { position: fixed; z-index: 2; pointer-events: none; background: var(--card);
      color: var(--ink); border: 1px solid var(--line); border-radius: 6px; padding: 6px 10px;
      font-size: 13px; max-width: 420px; box-shadow: 0 3px 14px #0003; white-space: pre-line; }

    table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
    th { text-align: left; color: var(--faint); font-size: 13px; font-weight: 600; }
    thead th { cursor: pointer; white-space: nowrap; vertical-align: bottom; }
    thead th[aria-sort=descending]::after { content: " ↓"; }
    thead th[aria-sort=ascending]::after { content: " ↑"; }
    th, td { padding: 4px 16px 4px 0; border-bottom: 1px solid var(--line); }
    .number { text-align: right; }
    td small { display: block; color: var(--faint); font-size: 12px; white-space: nowrap; }
    tfoot td { color: var(--faint); }
    .ledger { width: auto; min-width: 30%; }
    .ledger td { padding: 3px 8px; height: 1px; min-width: 7em;
      background: color-mix(in srgb, var(--heat-colour, var(--kind0)) calc(var(--heat) * .28),
        transparent); }
    .ledger td b { font-weight: 500; }
    .ledger td a { cursor: zoom-in; text-decoration: underline dotted; }
    .ledger th { white-space: nowrap; }
    .ledger th small { font-weight: 400; margin-left: 4px; }
    .fold th { padding: 6px 0; white-space: normal; }
    .folded { display: none; }
    .comparison { width: auto; }
    .comparison th { padding-right: 28px; }
    .comparison td { min-width: 190px; position: relative; text-align: right; }
    .comparison i { position: absolute; left: 0; top: 25%; height: 50%; width: calc(var(--share) *
      .6); min-width: 1px; background: var(--kind2); border-radius: 2px; opacity: .75; }
    @media print {
      body { padding: 0; font-size: 12px; max-width: none; }
      section { border: 0; padding: 6px 0; break-inside: auto; overflow: visible; }
      tr, .parts { break-inside: avoid; }
      .buttons, input, .note, .fold button { display: none; }
      .scroll { max-height: none; overflow: visible; }
      * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
    }

    """
}
