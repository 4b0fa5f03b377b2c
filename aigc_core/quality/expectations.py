"""The gate: a Great Expectations 1.x suite, kept as readable JSON, its numbers from params.yaml.

The suite names columns of three tables: `measures` (its columns alone), `kept` (the curated rows, one by one) and
`facts` (one row of counts and shares, so that a million rows cost no more than a hundred). An expectation with
`absent` may find no fact, and then passes with those words. This file is the only one that imports
great_expectations.
"""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any

from aigc_core.config import Expectations
from aigc_core.files import read_json
from aigc_core.records import MEASURE_SCHEMA, Check

SUITE = Path(__file__).with_name("suite.json")
SHARE = "share_"  # name and fact of the expectation on a reason's share
UNBOUNDED = "no bound is set in params.yaml"
Tables = dict[str, Any]  # name -> pandas.DataFrame


def bounded_reasons() -> list[str]:
    """The reasons whose share the suite looks at: all that there are, so that a bound is named for each."""
    names = [item["name"] for item in read_json(SUITE)["expectations"]]
    return [name.removeprefix(SHARE) for name in names if name.startswith(SHARE)]


def resolve(suite: dict[str, Any], numbers: Expectations) -> list[dict[str, Any]]:
    """The suite's expectations with `$name` replaced by its parameter; one whose number is not given is left out."""
    values: dict[str, Any] = {"columns": MEASURE_SCHEMA.names}
    for name, value in numbers.model_dump().items():
        values |= {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
    resolved = []
    for item in suite["expectations"]:
        kwargs = {key: _value(value, values) for key, value in item["kwargs"].items()}
        if None not in kwargs.values():
            resolved.append({**item, "kwargs": kwargs})
    return resolved


def _value(value: Any, values: dict[str, Any]) -> Any:
    return values.get(value[1:]) if isinstance(value, str) and value.startswith("$") else value


def run(tables: Tables, numbers: Expectations) -> tuple[str, list[Check]]:
    """Evaluate the suite on the tables; returns the suite's name and one Check per expectation, in its order."""
    suite = read_json(SUITE)
    bounded = {item["name"]: item for item in resolve(suite, numbers)}
    asked = [item for item in bounded.values() if not ("absent" in item and _fact(item, tables) is None)]
    outcome = _evaluate(tables, asked)
    checks = []
    for item in suite["expectations"]:
        name = item["name"]
        if name in outcome:
            checks.append(_check(bounded[name], outcome[name], tables))
        else:
            words = item["absent"] if name in bounded else UNBOUNDED
            checks.append(Check(name, item["description"], item["severity"], True, None, words))
    return suite["name"], checks


def _fact(item: dict[str, Any], tables: Tables) -> Any:
    """The number that an expectation on `facts` looks at; None where nobody could count it."""
    facts, column = tables["facts"], item["kwargs"]["column"]
    value = facts[column].iloc[0] if column in facts else None
    return None if value is None or value != value else value  # NaN differs from itself


def _evaluate(tables: Tables, items: list[dict[str, Any]]) -> dict[str, Any]:
    """GX's own result object per expectation name."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the library and its dependencies
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig
        from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        source = context.data_sources.add_pandas("aigc")
        found: dict[str, Any] = {}
        for table, frame in tables.items():
            own = [item for item in items if item["table"] == table]
            if table == "facts":  # a column without its number would read as text
                frame = frame.dropna(axis=1).astype("float64")
            expectations = [
                ExpectationConfiguration(type=i["type"], kwargs=i["kwargs"], meta={"name": i["name"]}).to_domain_obj()
                for i in own
            ]
            batch = source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
            result = batch.get_batch({"dataframe": frame}).validate(
                gx.ExpectationSuite(table, expectations=expectations)
            )
            found |= {item["name"]: outcome for item, outcome in zip(own, _ordered(own, result.results), strict=True)}
    return found


def _ordered(items: list[dict[str, Any]], results: list[Any]) -> list[Any]:
    """GX may reorder results: bring them back by the name that each expectation carries."""
    by_name = {result.expectation_config.meta["name"]: result for result in results}
    return [by_name[item["name"]] for item in items]


def _check(item: dict[str, Any], result: Any, tables: Tables) -> Check:
    observed: float | str | None
    if result.exception_info.get("raised_exception"):
        observed = str(result.exception_info.get("exception_message"))
    elif item["table"] == "facts":
        value = _fact(item, tables)
        observed = None if value is None else round(float(value), 6)
    else:
        counts = result.result
        bad = counts.get("unexpected_count")
        observed = f"{bad} of {counts.get('element_count')} rows differ" if bad is not None else "as expected"
    return Check(
        item["name"], item["description"], item["severity"], bool(result.success), observed, _bound(item["kwargs"])
    )


def _bound(kwargs: dict[str, Any]) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if low is not None and low == high:
        return f"exactly {low:g}"
    if low is not None and high is not None:
        return f"between {low:g} and {high:g}"
    if low is not None:
        return f"at least {low:g}"
    if high is not None:
        return f"at most {high:g}"
    if "value_set" in kwargs:
        return "one of " + ", ".join(str(value) for value in kwargs["value_set"])
    return f"the {len(kwargs['column_set'])} columns of the contract" if "column_set" in kwargs else "every row"
