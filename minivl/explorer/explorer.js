// What pointer, clicks and controls do on the explorer's page. Figures, tables and controls are Bokeh's and need no
// server; here their sources get other data. A and B are numbers of captions and clips, as in minivl/explorer.
//
// Captions and names come from files: whatever of them becomes HTML goes through `escaped`.

const explorer = {
  PAUSE: 700, // milliseconds from stage to stage

  // data: clips and models with the views of their stages; sides: the columns of the page; see minivl/explorer/page.py
  start(data, sides, changes, order) {
    Object.assign(this, { data, sides, changes, order })
    this.text = 0
    this.video = data.video_of_text[0]
    this.sides.forEach(side => this.showModel(side))
  },

  view(side) {
    return this.data.models[side.model.value].stages[side.stage.value]
  },

  // A side shows another model, or another stage of it.
  showModel(side) {
    const stages = this.data.models[side.model.value].stages
    if (side.stage.end !== Math.max(stages.length - 1, 1)) {
      side.stage.end = Math.max(stages.length - 1, 1)
      side.stage.value = stages.length - 1
    }
    side.stage.visible = side.play.visible = stages.length > 1
    side.pointed.text = "<p>Point at a cell.</p>"
    const view = this.view(side)
    side.stage.title = `Stage: ${view.stage}`
    side.histogram.data = { ...side.histogram.data, matching: view.matching, other: view.other }
    const numbers = Object.entries(view.numbers).map(([name, value]) => `<tr><th>${escaped(name)}</th><td>${escaped(value)}</td></tr>`)
    side.numbers.text = `<table class="numbers">${numbers.join("")}</table>`
    this.showMatrix(side)
    this.showNegatives(side)
    this.showMap(side)
    this.showChosen(side)
    this.showChanges()
  },

  // Go through the stages of a side, from the first one on, or stop where it is.
  playStages(side) {
    const stop = () => {
      clearInterval(side.playing)
      side.playing = undefined
      side.play.label = "Play the stages"
    }
    if (side.playing !== undefined) return stop()
    side.stage.value = 0
    side.play.label = "Stop"
    side.playing = setInterval(() => {
      if (side.stage.value < side.stage.end) side.stage.value += 1
      else stop()
    }, this.PAUSE)
  },

  // Captions in the order that the reader picked: (A,) numbers, the first one on top.
  orderOf(view) {
    const { captions, groups, video_of_text } = this.data
    const keys = {
      "as given": i => i,
      group: i => groups[video_of_text[i]],
      "length of the caption": i => captions[i].length,
      "margin, worst first": i => view.margins[i],
    }
    const key = keys[this.order.value]
    return captions.map((_, i) => i).sort((i, j) => (key(i) < key(j) ? -1 : key(i) > key(j) ? 1 : i - j))
  },

  showMatrix(side) {
    const view = this.view(side)
    side.rows = this.orderOf(view)
    side.columns = [...new Set(side.rows.map(i => this.data.video_of_text[i]))]
    const B = side.columns.length
    const image = side.matrix.data.image[0]
    side.rows.forEach((i, y) => side.columns.forEach((j, x) => (image[y * B + x] = view.similarity[i * B + j])))
    let low = Infinity
    let high = -Infinity
    for (const value of image) {
      low = Math.min(low, value)
      high = Math.max(high, value)
    }
    side.colors.low = low
    side.colors.high = high
    side.range.text = `Dark is ${(low * view.step).toFixed(2)}, bright is ${(high * view.step).toFixed(2)}.`
    side.matrix.change.emit()
    this.markCell(side)
  },

  similarity(side, i, j) {
    const view = this.view(side)
    return view.similarity[i * this.data.names.length + j] * view.step
  },

  cellAt(side, x, y) {
    const i = side.rows[Math.floor(y)]
    const j = side.columns[Math.floor(x)]
    return i === undefined || j === undefined ? null : { i, j }
  },

  // The pointer is on the matrix.
  hover(side, x, y) {
    const cell = this.cellAt(side, x, y)
    if (cell === null) return
    const { captions, names, video_of_text } = this.data
    const kind = video_of_text[cell.i] === cell.j ? "a matching pair" : "another pair"
    side.pointed.text =
      `<p><b>${this.similarity(side, cell.i, cell.j).toFixed(4)}</b>, ${kind}</p>` +
      `<p>caption: ${escaped(captions[cell.i])}</p>` +
      `<p>clip: ${escaped(names[cell.j])}<br>${this.strip(cell.j)}</p>`
  },

  pick(side, x, y) {
    const cell = this.cellAt(side, x, y)
    if (cell !== null) this.choose(cell.i, cell.j)
  },

  // Everything on the page turns to caption i and clip j.
  choose(i, j) {
    this.text = i
    this.video = j
    for (const side of this.sides) {
      this.markCell(side)
      this.markPoints(side)
      this.showChosen(side)
    }
  },

  chooseText(i) {
    if (i !== undefined) this.choose(i, this.data.video_of_text[i])
  },

  chooseVideo(j) {
    if (j !== undefined) this.choose(this.data.video_of_text.indexOf(j), j)
  },

  // A line of a table, or the dot that stands for it.
  chooseLine(source, line) {
    if (line === undefined) return
    const { text, video } = source.data
    if (video === undefined) this.chooseText(text[line])
    else this.choose(text[line], video[line])
  },

  markCell(side) {
    side.cell.data = { x: [side.columns.indexOf(this.video) + 0.5], y: [side.rows.indexOf(this.text) + 0.5] }
  },

  strip(j) {
    const { strips, names } = this.data
    return strips === null ? "" : `<img src="${strips[j]}" alt="frames of ${escaped(names[j])}">`
  },

  // The ranking of clips for the chosen caption, and the frames of the chosen pair.
  showChosen(side) {
    const { captions, names, video_of_text } = this.data
    const view = this.view(side)
    const values = names.map((_, j) => view.similarity[this.text * names.length + j] * view.step)
    const own = video_of_text[this.text]
    const ranked = names.map((_, j) => j).sort((j, k) => values[k] - values[j] || j - k)
    const lines = ranked.slice(0, 8).map(j => {
      const right = j === own ? " <b>✓ the right one</b>" : ""
      return `<li>${values[j].toFixed(4)} ${escaped(names[j])}${right}<br>${this.strip(j)}</li>`
    })
    side.ranking.text =
      `<p>“${escaped(captions[this.text])}”: the right clip has rank ${view.ranks[this.text]} of ${names.length}.</p>` +
      `<ol>${lines.join("")}</ol>`
    this.showFrames(side)
  },

  showFrames(side) {
    const { captions, video_of_text } = this.data
    const view = this.view(side)
    side.frames_figure.visible = view.frame_vectors !== null
    if (view.frame_vectors === null) {
      side.pair.text = "<p>This model has no embeddings of frames.</p>"
      return
    }
    const own = video_of_text[this.text]
    const clips = [...new Set([own, this.video])]
    const texts = clips.map(j => (j === own ? this.text : video_of_text.indexOf(j)))
    const cells = { x: [], y: [], value: [], label: [] }
    let x = 0
    clips.forEach(j => {
      const frames = this.framesOf(view, j)
      texts.forEach((i, y) => {
        const values = [...frames.map(f => this.cosine(view, i, f)), this.similarity(side, i, j)]
        values.forEach((value, place) => {
          cells.x.push(x + place + (place === frames.length ? 0.3 : 0))
          cells.y.push(texts.length - 1 - y)
          cells.value.push(value)
          cells.label.push(value.toFixed(2))
        })
      })
      x += frames.length + 2
    })
    const low = Math.min(...cells.value)
    const high = Math.max(...cells.value)
    side.frame_colors.low = low
    side.frame_colors.high = high
    side.frames.data = { ...cells, color: cells.value.map(value => (2 * value > low + high ? "black" : "white")) }
    const rows = texts.map((i, y) => `<li>row ${y + 1}: ${escaped(captions[i])}<br>${this.strip(clips[y])}</li>`)
    side.pair.text = `<ul>${rows.join("")}</ul>`
  },

  // Numbers of the frames of clip j that are no padding, counted through all clips.
  framesOf(view, j) {
    const F = view.frame_mask.shape[1]
    return Array.from({ length: F }, (_, f) => j * F + f).filter(f => view.frame_mask[f] > 0)
  },

  cosine(view, i, frame) {
    const D = view.text_vectors.shape[1]
    let sum = 0
    for (let d = 0; d < D; d++) sum += view.text_vectors[i * D + d] * view.frame_vectors[frame * D + d]
    return sum / 32767 ** 2 // as STEPS in minivl/explorer/views.py
  },

  showNegatives(side) {
    const { captions, names, video_of_text } = this.data
    const view = this.view(side)
    const order = captions.map((_, i) => i).sort((i, j) => view.margins[i] - view.margins[j])
    const same = i => captions[video_of_text.indexOf(view.strongest[i])] === captions[i]
    side.negatives.data = {
      text: order,
      video: order.map(i => view.strongest[i]),
      caption: order.map(i => captions[i]),
      clip: order.map(i => names[view.strongest[i]]),
      margin: order.map(i => view.margins[i]),
      same: order.map(i => (same(i) ? "same words" : "")),
    }
  },

  showMap(side) {
    const view = this.view(side)
    side.map_figure.visible = view.gap !== null
    if (view.gap === null) {
      side.gap.text = "<p>This model gives a number for each pair and has no embeddings.</p>"
      return
    }
    side.gap.text =
      `<p>Modality gap, the distance of the two crosses in all dimensions: <b>${view.gap}</b>. ` +
      `The two directions drawn hold ${view.shares} of the variance.</p>`
    side.text_points.data = pointsOf(view.text_points)
    side.video_points.data = pointsOf(view.video_points)
    side.means.data = meansOf([side.text_points.data, side.video_points.data])
    this.markPoints(side)
  },

  markPoints(side) {
    if (this.view(side).gap === null) return
    const text = side.text_points.data
    const video = side.video_points.data
    const line = j => [[text.x[this.text], video.x[j]], [text.y[this.text], video.y[j]]]
    const lines = [line(this.data.video_of_text[this.text]), line(this.video)]
    side.marked.data = { xs: lines.map(l => l[0]), ys: lines.map(l => l[1]) }
  },

  // Ranks of all captions on the two sides.
  showChanges() {
    if (this.changes === null) return
    const { captions } = this.data
    const [before, after] = this.sides.map(side => this.view(side).ranks)
    const change = captions.map((_, i) => before[i] - after[i])
    const order = captions.map((_, i) => i).sort((i, j) => Math.abs(change[j]) - Math.abs(change[i]) || i - j)
    this.changes.source.data = {
      text: order,
      caption: order.map(i => captions[i]),
      before: order.map(i => before[i]),
      after: order.map(i => after[i]),
      change: order.map(i => change[i]),
      color: order.map(i => (change[i] > 0 ? this.changes.rose : change[i] < 0 ? this.changes.fell : "#888888")),
    }
    const count = test => change.filter(test).length
    this.changes.words.text =
      `<p>Of ${captions.length} captions, ${count(c => c > 0)} rose from the left to the right model, ` +
      `${count(c => c < 0)} fell, ${count(c => c === 0)} have the same rank.</p>`
  },
}

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" }

function escaped(text) {
  return String(text).replace(/[&<>"']/g, character => ENTITIES[character])
}

// Columns x and y of an array (N, 2).
function pointsOf(points) {
  const count = points.length / 2
  return {
    x: Array.from({ length: count }, (_, n) => points[2 * n]),
    y: Array.from({ length: count }, (_, n) => points[2 * n + 1]),
  }
}

function meansOf(kinds) {
  const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length
  return { x: kinds.map(points => mean(points.x)), y: kinds.map(points => mean(points.y)) }
}
