// Search with two models: the query is encoded here, the clips were encoded when the site was built.

const searching = {
  SHOWN: 5, // clips of a ranking

  async prepare() {
    if (this.models) return
    await Promise.all([live.runtime(), live.script("tokenizers.js"), live.script("search-data.js")])
    this.data = live.data.search
    this.tokenizer = live.tokenizer(this.data.tokenizer)
    this.models = []
    for (const model of this.data.models) {
      this.models.push({ ...model, videos: floats(model.videos), session: await live.session(model.weights) })
    }
  },

  // What every model makes of a query: cosines with all clips, and the order of these, best first.
  async search(query) {
    await this.prepare()
    const { special, max_words, clips } = this.data
    const ids = encode(this.tokenizer, query, max_words, special)
    const found = []
    for (const model of this.models) {
      const { vector } = await model.session.run({ ids: whole(padded(ids, max_words), [1, max_words]) })
      const cosines = clips.map((_, j) => dot(vector.data, model.videos, j))
      found.push({ model, cosines, order: clips.map((_, j) => j).sort((j, k) => cosines[k] - cosines[j] || j - k) })
    }
    return { query, tokens: ids.slice(1, -1).map(id => this.tokenizer.id_to_token(id)), found }
  },

  show({ query, tokens, found }) {
    const { clips } = this.data
    const own = clips.findIndex(clip => clip.caption === query.trim())
    const cut = tokens.map(token => token.replace("</w>", "")).join(" | ")
    const lost = tokens.filter(token => token === "<unknown>").length
    return [
      element("p", { class: "tokens" }, `As the models read it, ${tokens.length} tokens: ${cut}`),
      ...(lost ? [element("p", {}, `${lost} of them stand for letters that are not in the vocabulary.`)] : []),
      element("div", { class: "sides" }, ...found.map(one => this.side(one, own))),
    ]
  },

  side({ model, cosines, order }, own) {
    const { clips } = this.data
    const items = order.slice(0, this.SHOWN).map(j =>
      element(
        "li",
        {},
        `${clips[j].name}, cosine ${cosines[j].toFixed(3)}${j === own ? " ✓ its own clip" : ""}`,
        picture(clips[j].strip, `Frames of ${clips[j].name}`),
        element("span", { class: "caption" }, clips[j].caption),
      ),
    )
    const rank = own < 0 ? "" : `This is the caption of ${clips[own].name}, which has rank ${order.indexOf(own) + 1} of ${clips.length}.`
    return element(
      "section",
      {},
      element("h3", {}, model.title),
      ...(rank ? [element("p", {}, rank)] : []),
      ...this.distribution(model, cosines, cosines[order[0]]),
      element("ol", { class: "ranking" }, ...items),
    )
  },

  // Where the query's cosines lie among those of the captions of all clips.
  distribution({ edges, matching, other, match_values, other_values }, cosines, best) {
    const below = values => percent(floats(values).filter(value => value < best).length / floats(values).length)
    const words =
      `The best clip's cosine is ${best.toFixed(3)}. Of the clips with their own captions ` +
      `${below(match_values)} score lower, of clips with captions of others ${below(other_values)}.`
    return [histogram(edges, matching, other, cosines, best, words), element("p", {}, words)]
  },
}

function dot(vector, rows, row) {
  let sum = 0
  for (let d = 0; d < vector.length; d++) sum += vector[d] * rows[row * vector.length + d]
  return sum
}

// Two histograms over each other; below them a tick for each cosine of the query, the best one drawn through.
function histogram(edges, matching, other, cosines, best, words) {
  const [W, H, foot] = [320, 120, 26]
  const [low, high] = [Math.min(edges[0], ...cosines), Math.max(edges[edges.length - 1], ...cosines)]
  const x = value => ((value - low) / (high - low)) * W
  const top = Math.max(...matching, ...other)
  const drawn = svg("svg", { viewBox: `0 0 ${W} ${H + foot}`, role: "img", "aria-label": words, class: "histogram" })
  for (const [name, shares] of [["other", other], ["matching", matching]]) {
    shares.forEach((share, n) => {
      const height = (share / top) * H
      const width = x(edges[n + 1]) - x(edges[n])
      drawn.append(svg("rect", { x: x(edges[n]), y: H - height, width, height, class: name }))
    })
  }
  for (const value of cosines) {
    drawn.append(svg("line", { x1: x(value), x2: x(value), y1: H + 1, y2: H + 8, class: "tick" }))
  }
  drawn.append(svg("line", { x1: x(best), x2: x(best), y1: 0, y2: H + 8, class: "best" }))
  for (const [value, anchor] of [[low, "start"], [high, "end"]]) {
    const label = svg("text", { x: x(value), y: H + foot - 4, "text-anchor": anchor })
    label.textContent = value.toFixed(2)
    drawn.append(label)
  }
  return drawn
}

function svg(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  return made
}

document.addEventListener("DOMContentLoaded", () => {
  const [form, status, answer] = ["search-form", "search-status", "search-answer"].map(id => document.getElementById(id))
  const field = form.elements.query
  form.addEventListener("submit", event => {
    event.preventDefault()
    const query = field.value
    if (!query.trim()) {
      status.textContent = "Say in words what to look for."
      return
    }
    saying(status, "Searching; the first time, some megabytes of models are loaded …", async () => {
      const found = await searching.search(query)
      if (field.value === query) answer.replaceChildren(...searching.show(found))
    })
  })
  for (const button of form.querySelectorAll("button[type=button]")) {
    button.addEventListener("click", () => {
      field.value = button.textContent
      form.requestSubmit()
    })
  }
})
