"""People and things that a corpus' texts name: shares of clips, and which people stand beside which activities."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from minivl.plots.picture import COLORS, Picture, draw_heat_map

GROUPS = ("people", "pronouns", "activities", "places")


def mention_shares(corpora: dict[str, pd.DataFrame]) -> Picture:
    """The share of clips that mention each category, in percent: a panel per group, a colour per corpus.

    corpora: name -> `Audit.mentions`. Categories that no corpus mentions are left out.
    """
    long = pd.concat([mentions.assign(corpus=name) for name, mentions in corpora.items()])
    long = long[long.groupby(["group", "category"])["share"].transform("max") > 0]
    groups = [group for group in GROUPS if group in set(long["group"])]
    sizes = [long[long["group"] == group]["category"].nunique() for group in groups]
    figsize = 7, 0.24 * len(corpora) * sum(sizes) + 0.5 * len(groups) + 0.6
    figure, axes = plt.subplots(len(groups), 1, figsize=figsize, height_ratios=sizes, sharex=True, squeeze=False)
    words = []
    for axis, group in zip(axes[:, 0], groups, strict=True):
        rows = long[long["group"] == group]
        colors = {"hue": "corpus", "hue_order": list(corpora), "palette": dict(zip(corpora, COLORS, strict=False))}
        sns.barplot(rows, y="category", x="share", ax=axis, legend=axis is axes[0, 0], **colors)
        axis.set(ylabel="", xlabel="", title=group, xlim=(0, 100))
        words += [f"{row.corpus}, {group}: {row.category} {row.share:.0f} %" for row in rows.itertuples()]
    axes[0, 0].legend(title="", fontsize=8)
    axes[-1, 0].set_xlabel("percent of clips that mention it")
    return Picture(figure, "Clips that mention each category. " + "; ".join(words) + ".")


def pair_map(pairs: pd.DataFrame, title: str = "") -> Picture:
    """People x activities: how much oftener than by chance both are named in a clip (log2), sure ones with a star.

    pairs: `Audit.pairs`. Pairs too rare to be judged are white.
    """
    drawn = pairs.assign(pmi=pairs["pmi"].clip(-4, 4))
    table = drawn.pivot(index="people", columns="activity", values="pmi")
    stars = drawn.assign(mark=np.where(drawn["sure"], "*", "")).pivot(index="people", columns="activity", values="mark")
    limit = max(0.5, float(np.nanmax(np.abs(table.to_numpy(dtype=float)))))
    figure, axis = plt.subplots(figsize=(0.45 * table.shape[1] + 3, 0.4 * table.shape[0] + 1.7))
    look = {"annot": stars.fillna(""), "fmt": "", "vmin": -limit, "vmax": limit, "linewidths": 0.5}
    draw_heat_map(axis, table, "log2 (clips / by chance)", center=0, **look)
    axis.set(xlabel="", ylabel="")
    axis.set_title(title, fontsize=10)
    sure = "; ".join(
        f"{row.people} and {row.activity} {row.clips} clips, by chance {row._4:.1f}"
        for row in pairs[pairs["sure"]].itertuples()
    )
    return Picture(
        figure,
        f"{title} {int(pairs['sure'].sum())} of {len(pairs)} pairs of people and activities differ "
        f"from chance{': ' + sure if sure else ''}.".strip(),
    )
