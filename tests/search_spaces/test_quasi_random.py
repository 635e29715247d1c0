"""Sobol and uniform draws: how evenly they fill a space, and that nothing but their arguments decides them."""

from __future__ import annotations

import pytest

from search_spaces import Choice, Condition, Parameter, Range, Space, sample_random, sobol

UNIT = Space((Parameter("x", Range(0.0, 1.0)), Parameter("y", Range(0.0, 1.0)), Parameter("z", Range(0.0, 1.0))))
FAMILIES = Space(
    (
        Parameter("family", Choice(("ce", "gds", "gradient_decay"))),
        Parameter("gds.lam", Range(0.0, 1.0), Condition("family", ("gds",))),
        Parameter("gradient_decay.beta", Range(0.001, 1.0, scale="log"), Condition("family", ("gradient_decay",))),
        Parameter("lr", Range(0.01, 1.0, scale="log")),
    )
)


@pytest.mark.parametrize("power", [1, 3, 6])
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_each_prefix_of_two_to_the_k_sobol_points_puts_one_in_each_equal_bin_of_every_dimension(power, seed):
    count = 2**power
    points = [sobol(UNIT, seed=seed, index=index) for index in range(count)]
    for name in ("x", "y", "z"):
        assert sorted(int(point[name] * count) for point in points) == list(range(count))


def test_sobol_points_fill_the_plane_of_two_knobs_box_by_box():
    points = [sobol(UNIT, seed=3, index=index) for index in range(64)]
    assert len({(int(point["x"] * 8), int(point["y"] * 8)) for point in points}) == 64


def test_each_family_fills_its_own_knob_evenly_though_families_take_turns():
    configs = [sobol(FAMILIES, seed=5, index=index) for index in range(3 * 16)]
    lams = [config["gds.lam"] for config in configs if config["family"] == "gds"]
    assert sorted(int(lam * 16) for lam in lams) == list(range(16))


def test_a_far_index_is_reached_directly():
    config = sobol(FAMILIES, seed=0, index=3 * 10**6 + 1)
    assert config["family"] == "gds"
    FAMILIES.check(config)


def test_another_seed_gives_other_points_of_the_same_families():
    for draw in (sobol, sample_random):
        assert draw(UNIT, seed=0, index=7) != draw(UNIT, seed=1, index=7)
    assert [sobol(FAMILIES, seed=seed, index=4)["family"] for seed in (0, 1)] == ["gds", "gds"]


def test_uniform_draws_choose_each_family_about_equally_often():
    drawn = [sample_random(FAMILIES, seed=0, index=index)["family"] for index in range(900)]
    # Four standard deviations of a binomial count of 900 draws at 1/3.
    assert all(abs(drawn.count(name) - 300) < 57 for name in ("ce", "gds", "gradient_decay"))


@pytest.mark.parametrize("draw", [sobol, sample_random])
def test_a_negative_index_is_refused(draw):
    with pytest.raises(ValueError, match=r"^index must be >= 0, got -1$"):
        draw(UNIT, seed=0, index=-1)
