"""Peaks of one object joined by persistence: heights and saddles by hand, whichever rule finds the peaks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.cam.peaks import find_peaks, photo_peaks, response_peaks, rising_peaks, separate

ROW = np.float32([[1.0, 0.8, 0.9, 0.1, 0.5, 0.45, 0.46, 0.0]])  # tops 1, 0.9 (saddle 0.8), 0.5 (0.1), 0.46 (0.45)
TOPS = [[0, 0], [0, 2], [0, 4], [0, 6]]


@pytest.mark.parametrize(
    ("share", "kept"),
    [
        (None, [0, 2, 4, 6]),
        (0.99, [0, 2, 4, 6]),  # 0.45 / 0.46 is 0.978
        (0.9, [0, 2, 4]),  # 0.8 / 0.9 is 0.889
        (0.88, [0, 4]),
        (0.21, [0, 4]),  # 0.1 / 0.5 is 0.2
        (0.2, [0]),
    ],
)
def test_saddles_by_hand(share, kept):
    peaks = find_peaks(ROW, radius=1, floor=0)
    assert peaks.tolist() == TOPS
    assert separate(ROW, peaks, share=share)[:, 1].tolist() == kept


def test_the_best_way_counts_not_the_straight_one():
    """Between both tops of the upper row a pit; around it a way at 0.7."""
    values = np.float32([[1.0, 0.0, 0.9], [0.7, 0.7, 0.7]])
    peaks = np.array([[0, 0], [0, 2]], np.int32)
    assert len(separate(values, peaks, share=0.7)) == 1 and len(separate(values, peaks, share=0.8)) == 2


def test_heights_from_a_base_and_equal_heights():
    values = np.float32([[5, 4, 5, 3, 3]])
    peaks = np.array([[0, 0], [0, 2]], np.int32)
    assert separate(values, peaks, share=0.8).tolist() == [[0, 0]]  # 4 of 5, the earlier stays
    assert len(separate(values, peaks, share=0.8, base=3.0)) == 2  # 1 of 2


def brute(values, peaks, share):
    """A flood from every peak over all that is at least the share of its height."""
    kept = []
    for k, (y, x) in enumerate(peaks):
        level = share * float(values[y, x])
        reached, front = {(y, x)}, [(y, x)]
        while front:
            a, b = front.pop()
            for c in range(a - 1, a + 2):
                for d in range(b - 1, b + 2):
                    if 0 <= c < values.shape[0] and 0 <= d < values.shape[1] and (c, d) not in reached:
                        if float(values[c, d]) >= level:
                            reached.add((c, d))
                            front.append((c, d))
        kept.append(not any(tuple(other) in reached for other in peaks[:k].tolist()))
    return peaks[np.array(kept, bool)]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.25, 0.5, 0.75, 1.0]))
def test_as_a_flood_from_every_peak(seed, share):
    values = np.random.default_rng(seed).integers(1, 9, (7, 9)).astype(np.float32)
    peaks = find_peaks(values, radius=1, floor=2)
    assert np.array_equal(separate(values, peaks, share=share), brute(values, peaks, share))


def test_every_rule_of_peaks_can_join():
    """Two tops of one hill and one of its own: three, and two when joined; the strongest `most` after joining."""
    y, x = np.mgrid[:32, :64].astype(np.float32)

    def hill(at, height):
        return height * np.exp(-((x - at) ** 2 + (y - 16) ** 2) / 18)

    values = np.maximum(np.maximum(hill(12, 1.0), hill(18, 0.95)), hill(50, 0.8))[None]
    for find in (
        lambda **keys: photo_peaks(values, (32, 64), mean_filter=1, window=3, floor=0.1, **keys),
        lambda **keys: response_peaks(10 * values, (32, 64), enlarge=1, floor=0, **keys),
    ):
        assert [len(find(most=25, share=share)[2]) for share in (None, 0.5)] == [3, 2]
        assert len(find(most=2, share=None)[2]) == 2 and len(find(most=1, share=0.5)[2]) == 1
    risen = [rising_peaks(values, (32, 64), sigma=3, most=25, share=share) for share in (None, 0.5)]
    assert [len(found[2]) for found in risen] == [3, 2]
    assert risen[1][1][:, 1].tolist() == [one for one in risen[0][1][:, 1].tolist() if one in risen[1][1][:, 1]]
