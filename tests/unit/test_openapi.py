"""The paper venue's published document is true: no 500, no answer that it does not name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from backtest.wire import ENDPOINTS
from tests.paper_room import SECRETS, paper_room

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
DOORS = [(endpoint.method, endpoint.path) for endpoint in ENDPOINTS.values()] + [
    ("GET", "/paper/clock"),
    ("POST", "/paper/candles"),
    ("GET", "/paper/ledger"),
    ("GET", "/paper/received"),
    ("GET", "/paper/subscribers"),
    ("PUT", "/paper/subscribers/{name}"),
    ("GET", "/paper/subscribers/{name}/events"),
    ("PUT", "/paper/faults"),
]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    with paper_room(tmp_path_factory.mktemp("venue") / "venue.sqlite") as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize(("method", "path"), DOORS)
def test_answers_are_as_documented(
    document: schemathesis.BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    if mode is GenerationMode.NEGATIVE and method == "GET":
        return  # nothing to get wrong

    @hypothesis.given(document[path][method].as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=20,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    def answers(case: schemathesis.Case[Any]) -> None:
        response = case.call(headers=SECRETS)
        case.validate_response(response, checks=list(CHECKS))

    answers()


def test_document_names_every_door(document: schemathesis.BaseSchema) -> None:
    assert {(method.upper(), path) for path in document for method in document[path]} == set(DOORS)
