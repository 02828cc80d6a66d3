"""Estimates of durations, from samples and defaults."""

from contract.planner.estimates import Estimates, Samples, format_class, format_key, model_key, summarize

MODEL = ("delays-ua", "xgboost-json", 80_000)


def rates(samples: dict[str, list[float]], instance_type: str = "ml.m5.xlarge") -> tuple[float, float, float, int]:
    found = Estimates(Samples({"rows": samples})).rows_per_second(*MODEL, instance_type)
    return found.value, found.low, found.high, found.count


def test_rates_of_the_model_come_before_those_of_its_format() -> None:
    own = {model_key("delays-ua", "ml.m5.xlarge"): [1_000.0] * 5}
    alike = {format_key("xgboost-json", 20_000, "ml.m5.xlarge"): [2_000.0] * 5}
    assert rates({**own, **alike}) == (1_000, 1_000, 1_000, 5)
    assert rates(alike) == (2_000, 1_000, 4_000, 5)


def test_rates_of_another_instance_type_have_a_wider_band() -> None:
    other = {model_key("delays-ua", "ml.c5.large"): [1_000.0] * 5}
    value, low, high, count = rates(other)
    assert (value, count) == (1_000, 5)
    assert low < 1_000 < high


def test_nothing_measured_gives_a_default_with_a_wide_band_and_no_samples() -> None:
    value, low, high, count = rates({})
    assert count == 0
    assert low * 2 < value < high / 2


def test_one_sample_has_a_wider_band_than_many() -> None:
    one, many = summarize([10.0]), summarize([10.0] * 20)
    assert (one.low, one.high) == (5, 20)
    assert (many.low, many.high) == (10, 10)


def test_an_outlier_does_not_move_the_estimate() -> None:
    assert summarize([100.0] * 19 + [1e9]).value == 100


def test_keys_of_loading_have_the_format_and_the_magnitude_of_the_artifact() -> None:
    assert format_class("onnx", 3_000_000) == format_class("onnx", 9_000_000) == "onnx/10MB"
    samples = Samples({"load": {"onnx/10MB": [0.5] * 5}})
    assert Estimates(samples).load_seconds("onnx", 3_000_000).value == 0.5


def test_a_job_of_several_instances_waits_for_the_slowest_start() -> None:
    startup = Estimates(Samples({"startup": {"ml.m5.xlarge": [200.0, 220.0, 240.0, 260.0, 280.0]}}))
    one = startup.startup_seconds("ml.m5.xlarge")
    several = [one.slowest_of(number).value for number in (1, 2, 4, 16)]
    assert several[0] == 240
    assert several == sorted(set(several))
    assert one.slowest_of(16).high < 2 * one.high


def test_starts_that_take_no_time_have_no_slowest_one() -> None:
    found = Estimates(Samples({"startup": {"ml.m5.xlarge": [0.0] * 5}})).startup_seconds("ml.m5.xlarge")
    assert (found.value, found.slowest_of(20).value) == (0, 0)


def test_few_start_ups_say_less_about_the_next_one_than_many() -> None:
    few, many = [200.0, 220.0, 240.0, 260.0, 280.0], [200.0, 220.0, 240.0, 260.0, 280.0] * 4
    of_few, of_many = (
        Estimates(Samples({"startup": {"ml.m5.xlarge": values}})).startup_seconds("ml.m5.xlarge")
        for values in (few, many)
    )
    assert of_few.value == of_many.value == 240
    assert of_few.low < of_many.low < 200 * 1.1
    assert 260 < of_many.high < of_few.high
