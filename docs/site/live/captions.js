// UniVL writes a caption: text and cross encoder once for a clip, then the decoder, a word at a time. The clip's
// features were encoded when the site was built, by S3D and by UniVL's video encoder.

const writing = {
  async prepare() {
    if (this.next) return
    const scripts = ["tokenizers.js", "captions-data.js", "captions-models.js"]
    await Promise.all([live.runtime(), ...scripts.map(name => live.script(name))])
    this.data = live.data.captions
    this.tokenizer = live.tokenizer(this.data.tokenizer)
    this.reader = await live.session(live.data.caption_models.reader)
    this.next = await live.session(live.data.caption_models.next)
  },

  // The beginning of a search: what the decoder attends to, and one empty caption.
  async begin(number, speech) {
    await this.prepare()
    const { max_words, max_frames, width, windows, special } = this.data
    const { video, seconds } = windows[number]
    const ids = encode(this.tokenizer, speech, max_words, [special.cls, special.sep])
    const ones = (count, length) => padded(Array(count).fill(1), length)
    const masks = [ones(ids.length, max_words), ones(seconds.length, max_frames)]
    const { memory } = await this.reader.run({
      ids: whole(padded(ids, max_words, special.pad), [1, max_words]),
      mask: whole(masks[0], [1, max_words]),
      video: new ort.Tensor("float32", floats(video), [1, max_frames, width]),
      video_mask: whole(masks[1], [1, max_frames]),
    })
    return {
      number,
      words: ids.map(id => this.tokenizer.id_to_token(id)),
      memory,
      memory_mask: whole(masks.flat(), [1, max_words + max_frames]),
      captions: [{ ids: [special.cls], score: 0, finished: false, attention: [] }],
      length: 0,
    }
  },

  // One more word for every caption: the best continuations of all of them stay, as in minivl/univl/generation.py.
  async step(search) {
    const { max_words, beams, special } = this.data
    const rows = Array.from({ length: beams }, (_, b) => padded(search.captions[b]?.ids ?? [], max_words, special.pad))
    const { log_probs, attention } = await this.next.run({
      ids: whole(rows.flat(), [beams, max_words]),
      position: whole([search.length], [1]),
      memory: search.memory,
      memory_mask: search.memory_mask,
    })
    const row = (tensor, b) => tensor.data.subarray(b * tensor.dims[1], (b + 1) * tensor.dims[1])
    const continued = search.captions.flatMap((caption, b) => {
      if (caption.finished) return [caption]
      const seen = [...caption.attention, row(attention, b)]
      return Array.from(row(log_probs, b), (gain, id) => ({
        ids: [...caption.ids, id],
        score: caption.score + gain,
        finished: id === special.sep,
        attention: seen,
      })).filter((_, id) => id !== special.pad && id !== special.cls)
    })
    search.captions = continued.sort((one, other) => other.score - one.score).slice(0, beams)
    search.length += 1
  },

  ended(search) {
    return search.captions[0].finished || search.length === this.data.max_words
  },

  tokens(caption) {
    return caption.ids.slice(1).map(id => this.tokenizer.id_to_token(id))
  },

  text(caption) {
    return this.tokens(caption).filter(token => token !== "[SEP]").join(" ").replaceAll(" ##", "")
  },
}

const captionPage = {
  start() {
    const found = id => document.getElementById(`caption-${id}`)
    Object.assign(this, {
      form: found("form"), clip: found("clip"), speech: found("speech"), strip: found("strip"), status: found("status"),
      beams: found("beams"), words: found("words"), attention: found("attention"), done: found("done"),
    }) // prettier-ignore
    this.form.addEventListener("submit", event => {
      event.preventDefault()
      this.press("To the end")
    })
    for (const button of this.form.querySelectorAll("button[type=button]")) {
      button.addEventListener("click", () => this.press(button.textContent))
    }
    this.clip.addEventListener("change", () => this.choose())
    this.speech.addEventListener("input", () => this.clear())
    live.script("captions-data.js").then(() => this.fill())
  },

  fill() {
    live.data.captions.windows.forEach(({ title }, n) => this.clip.append(element("option", { value: n }, title)))
    this.choose()
  },

  choose() {
    const { seconds, speech } = live.data.captions.windows[this.clip.value]
    this.strip.replaceChildren(...seconds.map((source, n) => picture(source, `Second ${n + 1} of the clip`)))
    this.speech.value = speech
    this.clear()
  },

  clear() {
    this.search = null
    for (const part of [this.beams, this.words, this.attention, this.done]) part.replaceChildren()
  },

  async press(what) {
    if (this.busy) return
    this.busy = true
    try {
      await saying(this.status, "Writing; the first time, some megabytes of models are loaded …", () => this.write(what))
    } finally {
      this.busy = false
    }
  },

  async write(what) {
    if (what === "Begin again") return this.clear()
    if (this.search && writing.ended(this.search)) this.clear()
    this.search ??= await writing.begin(Number(this.clip.value), this.speech.value)
    do await writing.step(this.search)
    while (what === "To the end" && !writing.ended(this.search))
    this.show()
  },

  show() {
    const { captions } = this.search
    const end = writing.ended(this.search)
    this.done.textContent = `${end ? "Caption" : "So far"}: ${writing.text(captions[0])}`
    this.beams.replaceChildren(
      ...captions.map(caption =>
        element("li", {}, `${writing.text(caption)}${caption.finished ? " ∎" : " …"} (${percent(Math.exp(caption.score))})`),
      ),
    )
    const tokens = writing.tokens(captions[0])
    const buttons = tokens.map((token, n) => {
      const button = element("button", { type: "button", "aria-pressed": "false" }, token === "[SEP]" ? "∎ end" : token)
      button.addEventListener("click", () => this.showAttention(n))
      return button
    })
    this.words.replaceChildren(...buttons)
    this.showAttention(tokens.length - 1)
  },

  // From which frames and words the decoder made word n of the best caption.
  showAttention(n) {
    const { words, captions, number } = this.search
    const { max_words, windows } = live.data.captions
    const weights = captions[0].attention[n]
    this.words.querySelectorAll("button").forEach((button, m) => button.setAttribute("aria-pressed", String(m === n)))
    const most = Math.max(...weights)
    const frames = windows[number].seconds.map((source, t) =>
      this.weighed(picture(source, `Second ${t + 1}`), weights[max_words + t], most),
    )
    const read = words.map((word, w) => this.weighed(element("span", {}, word), weights[w], most))
    const share = frames.reduce((sum, _, t) => sum + weights[max_words + t], 0)
    this.attention.replaceChildren(
      element("p", {}, `For “${writing.tokens(captions[0])[n]}” the decoder looks at frames with ${percent(share)} of its attention, at what is said with ${percent(1 - share)}.`),
      element("div", { class: "weighed" }, ...frames),
      element("div", { class: "weighed" }, ...read),
    )
  },

  // A frame or word with its share of the attention, and a bar that is full for the largest share.
  weighed(content, weight, most) {
    const bar = element("span", { class: "bar", "aria-hidden": "true" })
    bar.style.width = `${(100 * weight) / most}%`
    return element("figure", {}, content, bar, element("figcaption", {}, percent(weight)))
  },
}

document.addEventListener("DOMContentLoaded", () => captionPage.start())
