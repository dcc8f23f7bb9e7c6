// The models of the page "Try it", run by ONNX Runtime in the browser itself. A page that was opened from a file may
// not fetch other files, so all data are scripts that put themselves into `live.data`: numbers and files as base64,
// large ones gzipped. They are loaded when they are first needed.

const live = {
  data: {},
  scripts: new Map(),

  // Load a script of this folder, once.
  script(name) {
    if (!this.scripts.has(name)) {
      const loaded = new Promise((resolve, reject) => {
        const tag = document.createElement("script")
        tag.src = `_static/live/${name}`
        tag.onload = resolve
        tag.onerror = () => reject(new Error(`${name} can't be read: is all of the site's folder there?`))
        document.head.append(tag)
      })
      this.scripts.set(name, loaded)
    }
    return this.scripts.get(name)
  },

  // ONNX Runtime, on one thread: several would need headers that a file does not have.
  async runtime() {
    await Promise.all([this.script("ort.js"), this.script("runtime.js")])
    if (!ort.env.wasm.wasmBinary) {
      const { mjs, wasm } = this.data.runtime
      const code = new Blob([await unpacked(mjs)], { type: "text/javascript" })
      ort.env.wasm.numThreads = 1
      ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(code) }
      ort.env.wasm.wasmBinary = (await unpacked(wasm)).buffer
    }
  },

  async session(model) {
    return ort.InferenceSession.create(await unpacked(model), { executionProviders: ["wasm"] })
  },

  tokenizer({ json, config }) {
    return new Tokenizers.Tokenizer(json, config)
  },
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), character => character.charCodeAt(0))
}

async function unpacked(base64) {
  const stream = new Blob([bytes(base64)]).stream().pipeThrough(new DecompressionStream("gzip"))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

function floats(base64) {
  return new Float32Array(bytes(base64).buffer)
}

function whole(numbers, shape) {
  return new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), shape)
}

// Ids of a text between two special ones, its last words cut off where there are too many.
function encode(tokenizer, text, length, [first, last]) {
  const cleaned = text.split(/\s+/).filter(Boolean).join(" ")
  const { ids } = tokenizer.encode(cleaned, { add_special_tokens: false })
  return [first, ...ids.slice(0, length - 2), last]
}

function padded(ids, length, pad = 0) {
  return [...ids, ...Array(length - ids.length).fill(pad)]
}

function percent(share) {
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`
}

// An element with attributes and children; a text is never read as HTML.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.append(...children)
  return made
}

function picture(source, alt) {
  return element("img", { src: source, alt })
}

// Do something, and say meanwhile what is done, and afterwards what went wrong.
async function saying(status, words, action) {
  status.textContent = words
  try {
    await action()
    status.textContent = ""
  } catch (error) {
    status.textContent = `That did not work: ${error.message}`
    throw error
  }
}
