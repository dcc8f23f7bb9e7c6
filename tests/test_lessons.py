"""What lessons share: tables with mean and spread."""

import numpy as np
import pandas as pd

from minivl.lessons import mean_and_spread


def test_mean_and_spread_by_hand():
    """2, 4 and 9: mean 5, squared distances 9 + 1 + 16 = 26, over n - 1 = 2 is 13, whose root is 3.6 (over n: 2.9)."""
    runs = pd.DataFrame(
        {
            "method": ["tuned", "tuned", "tuned", "once", "gap", "gap"],
            "R@1": [2.0, 9.0, 4.0, 7.26, np.nan, np.nan],
            "MedR": [1.0, 1.0, 1.0, 3.0, 1.0, 3.0],
        }
    )
    table = mean_and_spread(runs, ["method"], ["R@1", "MedR"])
    assert table.index.tolist() == ["tuned", "once", "gap"]
    assert table["R@1"].tolist() == ["5.0 ± 3.6", "7.3", "-"]
    assert table["MedR"].tolist() == ["1.0 ± 0.0", "3.0", "2.0 ± 1.4"]
    assert table["runs"].tolist() == [3, 1, 2]
