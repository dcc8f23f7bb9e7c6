"""Losses written out as loops over single numbers."""

import math


def mil_nce_of(S, n, anchors, valid):
    N, losses = len(S), []
    S = S.tolist()
    for a in range(N):
        if not valid[a] or anchors == "middle" and a % n != n // 2:
            continue
        group = range(a // n * n, a // n * n + n)
        texts = [j for j in range(N) if valid[j]]
        found = sum(math.exp(S[j][a]) for j in texts if j in group)
        everything = sum(math.exp(S[j][a]) for j in texts) + sum(math.exp(S[a][j]) for j in range(N) if j not in group)
        losses.append(-math.log(found / everything))
    return sum(losses) / len(losses) if losses else 0.0
