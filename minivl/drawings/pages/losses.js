// Losses of a similarity matrix S (rows: texts, columns: videos), each with its gradient: {loss, gradient}.
"use strict";

const logSumExp = (xs) => {
  const top = Math.max(...xs);
  return top + Math.log(xs.reduce((sum, x) => sum + Math.exp(x - top), 0));
};
const transposed = (S) => S[0].map((_, j) => S.map((row) => row[j]));

// InfoNCE, texts choose videos: the mean over rows i of -log softmax(S[i])[i].
function textsChoose(S) {
  const all = S.map(logSumExp);
  const loss = S.reduce((sum, row, i) => sum + all[i] - row[i], 0) / S.length;
  const gradient = S.map((row, i) => row.map((s, j) => (Math.exp(s - all[i]) - (i === j)) / S.length));
  return { loss, gradient };
}

// InfoNCE, videos choose texts: the same of the transposed matrix.
function videosChoose(S) {
  const { loss, gradient } = textsChoose(transposed(S));
  return { loss, gradient: transposed(gradient) };
}

// InfoNCE, both directions: CLIP's loss at scale 1.
function bothChoose(S) {
  const a = textsChoose(S), b = videosChoose(S);
  return {
    loss: (a.loss + b.loss) / 2,
    gradient: a.gradient.map((row, i) => row.map((g, j) => (g + b.gradient[i][j]) / 2)),
  };
}

// MIL-NCE, mean over all anchors a; clips kn ... kn+n-1 are of one video, and their texts count as right together.
function milNCE(S, n) {
  const N = S.length, gradient = S.map((row) => row.map(() => 0));
  const same = (a, b) => Math.floor(a / n) === Math.floor(b / n);
  let loss = 0;
  for (let a = 0; a < N; a++) {
    const cells = []; // [text, video, counts as right]
    for (let j = 0; j < N; j++) cells.push([j, a, same(a, j)]);
    for (let j = 0; j < N; j++) if (!same(a, j)) cells.push([a, j, false]);
    const all = logSumExp(cells.map(([i, j]) => S[i][j]));
    const right = logSumExp(cells.filter((cell) => cell[2]).map(([i, j]) => S[i][j]));
    loss += (all - right) / N;
    for (const [i, j, counts] of cells) {
      gradient[i][j] += (Math.exp(S[i][j] - all) - (counts ? Math.exp(S[i][j] - right) : 0)) / N;
    }
  }
  return { loss, gradient };
}
