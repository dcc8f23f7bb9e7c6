"""Losses written out as loops over single numbers."""

import math


def mil_nce_of(S, n, anchors, valid, positives="neighbours"):
    N, losses = len(S), []
    S = S.tolist()
    for a in range(N):
        if not valid[a] or anchors == "middle" and a % n != n // 2:
            continue
        video = range(a // n * n, a // n * n + n)
        group = video if positives == "neighbours" else [a]
        nowhere = [j for j in video if j != a] if positives == "own without neighbours" else []
        texts = [j for j in range(N) if valid[j] and j not in nowhere]
        found = sum(math.exp(S[j][a]) for j in texts if j in group)
        videos = [j for j in range(N) if j not in group and j not in nowhere]
        everything = sum(math.exp(S[j][a]) for j in texts) + sum(math.exp(S[a][j]) for j in videos)
        losses.append(-math.log(found / everything))
    return sum(losses) / len(losses) if losses else 0.0
