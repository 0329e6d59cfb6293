"""Records turn into JSON that says its version and its verdict."""

from __future__ import annotations

import json
import math

from mindport.results import SCHEMA_VERSION, Check, ConversionReport, Inspection, TensorInfo, Verification, plain


def test_to_dict_is_json_with_the_schema_version_first() -> None:
    result = Inspection(
        path="a.ckpt",
        format="ckpt",
        title="MindSpore checkpoint",
        kind="weights",
        nbytes=99,
        tensors=(TensorInfo("w", "float32", (2, 3), 24),),
        info={"epoch": 2, "metrics": {"loss": math.nan}},
    )
    form = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert next(iter(form)) == "schema_version"
    assert form["schema_version"] == SCHEMA_VERSION == 1
    assert form["tensors"] == [{"name": "w", "dtype": "float32", "shape": [2, 3], "nbytes": 24}]
    assert form["info"] == {"epoch": 2, "metrics": {"loss": "nan"}}


def test_a_failed_check_decides_and_an_unproved_one_does_not() -> None:
    passed, open_, failed = Check("a", "passed"), Check("b", "not proved", "no runtime"), Check("c", "failed")
    good = Verification("p", "ckpt", "t", "weights", 1, (passed, open_))
    bad = ConversionReport("p", "ckpt", "q", "npz", "weights", 1, 1, 0.5, (passed, failed))
    assert (good.ok, good.to_dict()["ok"]) == (True, True)
    assert (bad.ok, bad.to_dict()["ok"]) == (False, False)
    assert bad.to_dict()["checks"][1] == {"name": "c", "status": "failed", "detail": ""}


def test_plain_leaves_no_foreign_type() -> None:
    assert plain({1: (True, None, 2.5, -math.inf, {"x"})}) == {"1": [True, None, 2.5, "-inf", "{'x'}"]}
