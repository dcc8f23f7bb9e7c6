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
    this.showTeacher(side)
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
    const cosines = []
    const weights = []
    let x = 0
    clips.forEach(j => {
      const frames = this.framesOf(view, j)
      texts.forEach((i, row) => {
        const y = 2 * (texts.length - row)
        const values = frames.map(f => this.cosine(view, i, f))
        values.forEach((value, place) => cosines.push({ x: x + place, y, value, label: value.toFixed(2) }))
        const whole = this.similarity(side, i, j)
        cosines.push({ x: x + frames.length + 0.3, y, value: whole, label: whole.toFixed(2) })
        if (view.logit_scale === null) return
        softmax(values, view.logit_scale).forEach((value, place) =>
          weights.push({ x: x + place, y: y - 0.9, value, label: (100 * value).toFixed(0) }),
        )
      })
      x += frames.length + 2
    })
    const values = cosines.map(cell => cell.value)
    const [low, high] = [Math.min(...values), Math.max(...values)]
    Object.assign(side.frames_colors, { low, high })
    side.frames.data = cellsOf(cosines, value => 2 * value > low + high)
    side.weights.data = cellsOf(weights, value => value > 0.5)
    const rows = texts.map((i, y) => `<li>row ${y + 1}: ${escaped(captions[i])}<br>${this.strip(clips[y])}</li>`)
    side.pair.text = `<ul>${rows.join("")}</ul>`
  },

  // Whom teacher and student choose for the chosen caption.
  showTeacher(side) {
    const { names, video_of_text } = this.data
    const taught = this.view(side).distill
    side.teacher_figure.visible = taught !== null
    if (taught === null) {
      side.taught.text =
        "<p>Nothing to show: there are no image-level similarities of this model. minivl explore computes them for " +
        "CLIP and DiscoVLA; in a file they are the tensor image_level.</p>"
      return
    }
    const own = video_of_text[this.text]
    const K = taught.clips.shape[1]
    const row = name => Array.from({ length: K }, (_, k) => taught[name][this.text * K + k])
    const [clips, teacher, student] = ["clips", "teacher", "student"].map(row)
    const labels = clips.flatMap((j, y) => [
      { x: 0, y: y - 0.29, label: shortened(names[j]) + (j === own ? " ✓ the right one" : "") },
      { x: teacher[y], y, label: ` ${teacher[y].toFixed(3)}` },
      { x: student[y], y: y + 0.27, label: ` ${student[y].toFixed(3)}` },
    ])
    side.teacher.selected.indices = []
    side.teacher.data = { text: clips.map(() => this.text), video: clips, y: clips.map((_, y) => y), teacher, student }
    side.teacher_labels.data = columnsOf(labels, "x", "y", "label")
    side.taught.text = this.verdict(taught, clips, teacher, student)
  },

  // In words: how sure the teacher is, and what of it the student misses.
  verdict(taught, clips, teacher, student) {
    const { names, video_of_text } = this.data
    const own = video_of_text[this.text]
    const entropy = taught.entropy[this.text]
    const divergence = taught.of_texts[this.text]
    const parts = clips.map((_, y) => (teacher[y] > 0 ? teacher[y] * Math.log(teacher[y] / student[y]) : 0))
    const most = parts.indexOf(Math.max(...parts))
    const rest = shares => Math.max(0, 1 - sum(shares)).toFixed(3)
    const first = clips[0] === own ? "is right" : `prefers ${escaped(names[clips[0]])} to the right clip`
    const said =
      divergence < 0.05
        ? "the student says nearly the same, and has little to learn here"
        : `the largest part comes from ${escaped(names[clips[most]])}, which the teacher gives ` +
          `${teacher[most].toFixed(3)} and the student ${student[most].toFixed(3)}`
    const mean = values => (sum(values) / values.length).toFixed(3)
    return (
      `<p>The teacher ${first}, and hesitates as between ${Math.exp(entropy).toFixed(1)} clips. ` +
      `From it to the student the KL is ${divergence.toFixed(3)} nats: ${said}.</p><table class="numbers">` +
      `<tr><th>entropy of the teacher</th><td>${entropy.toFixed(3)} nats</td></tr>` +
      `<tr><th>KL of this caption's row, over clips</th><td>${divergence.toFixed(3)} nats; mean of all captions ${mean(taught.of_texts)}</td></tr>` +
      `<tr><th>KL of its clip's column, over captions</th><td>${taught.of_clips[own].toFixed(3)} nats; mean of all clips ${mean(taught.of_clips)}</td></tr>` +
      `<tr><th>share of the clips not drawn</th><td>teacher ${rest(teacher)}, student ${rest(student)}</td></tr>` +
      `<tr><th>scale of the softmax</th><td>${taught.scale.toFixed(1)}</td></tr></table>` +
      (taught.words === null ? "" : `<p>What the teacher compares with frames: ${escaped(taught.words)}.</p>`)
    )
  },

  // Numbers of the frames of clip j that are no padding, counted through all clips.
  framesOf(view, j) {
    const F = view.frame_mask.shape[1]
    return Array.from({ length: F }, (_, f) => j * F + f).filter(f => view.frame_mask[f] > 0)
  },

  cosine(view, i, frame) {
    const D = view.text_vectors.shape[1]
    let product = 0
    for (let d = 0; d < D; d++) product += view.text_vectors[i * D + d] * view.frame_vectors[frame * D + d]
    return product / 32767 ** 2 // as STEPS in minivl/explorer/views.py
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
    side.map_figure.match_aspect = view.gap !== null // only where it is seen: what is hidden has no aspect
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

// A name that fits above a bar.
function shortened(name) {
  return name.length > 60 ? `${name.slice(0, 59)}…` : name
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0)
}

function softmax(values, scale) {
  const largest = Math.max(...values)
  const powers = values.map(value => Math.exp(scale * (value - largest)))
  return powers.map(power => power / sum(powers))
}

// Cells of a matrix as a source of Bokeh has them: black text on those that are bright; upright where cells are narrow.
function cellsOf(cells, bright) {
  const color = cells.map(cell => (bright(cell.value) ? "black" : "white"))
  const angle = cells.map(() => (innerWidth < 600 ? Math.PI / 2 : 0))
  return { ...columnsOf(cells, "x", "y", "value", "label"), color, angle }
}

// Rows [{a, b}, ...] as columns {a: [...], b: [...]}.
function columnsOf(rows, ...names) {
  return Object.fromEntries(names.map(name => [name, rows.map(row => row[name])]))
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
  const mean = values => sum(values) / values.length
  return { x: kinds.map(points => mean(points.x)), y: kinds.map(points => mean(points.y)) }
}
