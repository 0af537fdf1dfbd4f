"""What is expected on new images and what test images said, in a sentence each."""

from nas.report.expected import expected_error, verified_error

POINTS = [
    {"top1_error_pct": 7.0, "expected_error_pct": 7.4, "error_se_pct": 0.4},
    {"top1_error_pct": 9.0, "expected_error_pct": 9.0, "error_se_pct": 0.5},
]


def verified(*errors):
    pairs = zip(POINTS, errors, strict=True)
    about = {"error_se_pct": 0.3, "n_images": 8000, "split": "test"}
    return {"points": [p | {"verified": {"top1_error_pct": e, **about}} for p, e in pairs]}


def test_what_is_expected_is_told_with_its_standard_error() -> None:
    assert expected_error({"points": POINTS}) == (
        "on images that chose nothing expect +0.20 points on average, +0.40 at most, with a "
        "standard error of 0.40 to 0.50"
    )
    assert expected_error({"points": [{"top1_error_pct": 7.0}]}) == ""


def test_test_images_are_held_against_what_was_expected() -> None:
    assert verified_error({"points": POINTS}) == ""
    said = verified_error(verified(8.3, 10.5))  # standard errors of both: 0.5 and 0.58
    assert said.startswith("verified on 8000 test images: error is +1.40 points from the table's")
    assert said.endswith("+1.50 at most; 1 of 2 within two standard errors of what was expected")
