"""What is deployed: prefect.yaml names flows that are there, compose.yaml pins versions and holds no password."""

import importlib
import inspect
import re
from typing import Any

import pytest
from prefect.events.schemas.automations import AutomationCore
from ruamel.yaml import YAML
from support import ROOT

from winnow.run.settings import Settings


def read(name: str) -> Any:
    return YAML(typ="safe").load(ROOT / name)


DEPLOYMENTS = {f"{made['name']}": made for made in read("prefect.yaml")["deployments"]}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_deployment_is_of_a_flow_that_takes_its_parameters(name: str) -> None:
    made = DEPLOYMENTS[name]
    path, _, attribute = made["entrypoint"].partition(":")
    flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), attribute)
    flow.validate_parameters(made["parameters"])
    inspect.signature(flow.fn).bind(**made["parameters"])
    assert len(made["description"]) > 10
    assert "winnow" in made["tags"]


def test_every_stage_has_a_deployment_and_the_rest_a_schedule() -> None:
    stages = {name for name, made in DEPLOYMENTS.items() if made["entrypoint"].endswith(":reproduce")}
    assert stages == set(read("dvc.yaml")["stages"])
    assert {DEPLOYMENTS[stage]["parameters"]["stage"] for stage in stages} == stages
    assert {name for name, made in DEPLOYMENTS.items() if made.get("schedules")} == {"refresh", "evaluate-grid"}
    assert Settings().refresh.publish == "never", "a schedule publishes nothing unless that is asked"


def test_the_automation_of_the_docs_is_one_that_prefect_takes() -> None:
    block = (ROOT / "docs/schedule.md").read_text().partition("```yaml\nname:")[2].partition("```")[0]
    made = AutomationCore.model_validate(YAML(typ="safe").load(f"name:{block}"))
    trigger = made.model_dump(mode="json")["trigger"]
    assert set(trigger["expect"]) == {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
    assert trigger["match_related"] == {"prefect.resource.role": "flow", "prefect.resource.name": "refresh"}


def test_containers_are_pinned_to_the_versions_that_are_tested() -> None:
    text, pinned = (ROOT / "compose.yaml").read_text(), (ROOT / "constraints.txt").read_text()
    assert f"prefect=={re.search('prefecthq/prefect:([0-9.]+)-', text)[1]}\n" in pinned  # type: ignore[index]
    for package in ("mlflow", "Flask-WTF"):
        assert re.search(rf"{package}==[0-9.]+", text)[0] + "\n" in pinned  # type: ignore[index]
    for service in read("compose.yaml")["services"].values():
        assert re.search(r":[0-9]", service.get("image") or service["build"]["dockerfile_inline"].replace("slim", ""))


def test_containers_get_every_password_from_the_environment_and_listen_to_this_machine() -> None:
    found = []
    for service in read("compose.yaml")["services"].values():
        for name, value in service["environment"].items():
            if re.search("PASSWORD|SECRET|AUTH_STRING", name):
                found.append(name)
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name
            assert not re.search(r"://[^/]*:(?!\$\{)[^/]*@", str(value)), name
        for port in service.get("ports", []):
            assert port.startswith("${BIND:-127.0.0.1}:")
    assert len(found) == 5
