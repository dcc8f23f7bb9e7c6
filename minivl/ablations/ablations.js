// What the controls of the explorer of ablations do. All numbers were computed before, see minivl/ablations/explorer.py;
// names of cells and studies come from files, and whatever of them becomes HTML goes through `escapedText`.

const ablations = {
  start(studies, parts, colors) {
    Object.assign(this, { studies, parts, colors })
    this.changed("study")
  },

  get study() {
    return this.studies[this.parts.study.value]
  },

  changed(control) {
    const { baseline, score } = this.parts
    if (control === "study") {
      const options = names => names.map((name, n) => [String(n), name])
      this.filling = true // values that are set here are no choices
      baseline.options = options(this.study.cells)
      score.options = options(this.study.scores)
      baseline.value = "0"
      score.value = String(this.study.first)
      this.filling = false
    }
    if (!this.filling) this.show()
  },

  show() {
    const { baseline, score, figure, levels, words } = this.parts
    const { cells, scores, settings, comparisons, runs, counted } = this.study
    const { lines, dots } = comparisons[baseline.value][score.value]
    const saying = dot => ({ ...dot, settings: dot.cell.map(cell => settings[cells.indexOf(cell)]) })
    this.lanes(figure, lines.cell)
    figure.below[0].axis_label = `${scores[score.value]}, minus that of ${cells[baseline.value]}`
    this.parts.lines.data = { ...lines, color: lines.verdict.map(word => this.colors[word] ?? this.colors[""]) }
    this.parts.dots.data = saying({ ...dots, lane: spread(dots.cell) })
    const values = runs.values[score.value]
    const there = values.flatMap((value, n) => (value === null ? [] : [n]))
    const cell = there.map(n => runs.cell[n])
    this.lanes(levels, cells.filter(name => cell.includes(name)))
    levels.below[0].axis_label = scores[score.value]
    this.parts.values.data = saying({
      cell, lane: spread(cell), run: there.map(n => runs.run[n]), value: there.map(n => values[n]),
    }) // prettier-ignore
    const missing = cells.filter((name, n) => n !== Number(baseline.value) && !lines.cell.includes(name))
    words.text =
      `<p>${lines.cell.length} variants against ${escapedText(cells[baseline.value])} ` +
      `(${escapedText(settings[baseline.value])}); intervals over ${counted}.` +
      (missing.length ? ` No run goes with one of the baseline's for: ${escapedText(missing.join("; "))}.` : "") +
      (lines.low.includes(null) ? ` Where there is no interval, there are less than two ${counted} yet.` : "") +
      `</p>`
  },

  // The first cell on top.
  lanes(figure, cells) {
    figure.y_range.factors = cells.length ? [...cells].reverse() : ["nothing to compare"]
    figure.height = 90 + 34 * Math.max(cells.length, 2)
  },
}

// Places of dots in their lanes, below the line of the interval, apart from each other.
function spread(cells) {
  const seen = new Map()
  return cells.map(cell => {
    const before = seen.get(cell) ?? 0
    seen.set(cell, before + 1)
    return [cell, -0.18 - 0.06 * (before % 4)]
  })
}

function escapedText(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;")
}
