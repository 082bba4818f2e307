"""The table of networks, against rembg's own source."""

import hashlib
import inspect
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from imageset.errors import ParamsError
from imageset.photos import networks
from imageset.photos.networks import NETWORKS
from imageset.runtime import files
from imageset.runtime.sections import ModelParams
from tests.conftest import U2NETP_SHA256


@pytest.fixture(scope="module")
def sessions() -> Any:
    """Rembg's session classes by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        from rembg.sessions import sessions

    return sessions


def require(name: str, allow_non_commercial: bool = False) -> None:
    networks.require_licence(ModelParams(name=name, sha256=U2NETP_SHA256, allow_non_commercial=allow_non_commercial))


def test_checksums_and_sides_are_those_in_rembgs_source_and_no_photo_leaves_the_machine(sessions: Any) -> None:
    for name, spec in NETWORKS.items():
        session = sessions[name]

        assert f'"{spec.checksum}"' in inspect.getsource(session.download_models)
        assert f"({spec.side}, {spec.side})" in inspect.getsource(session.predict)
        assert session.is_local()
        assert not session.requires_credentials()


def test_the_docstring_names_what_is_left_out_of_rembgs_list(sessions: Any) -> None:
    left_out = {name for name in sessions if name not in NETWORKS and not name.endswith("_custom")}

    assert left_out == {"atlascloud", "withoutbg", "sam", "u2net_cloth_seg", "birefnet-general-fp16"}
    assert all(name in str(networks.__doc__) for name in left_out)


def test_the_weights_that_params_name_have_the_tables_checksum(weights: Path) -> None:
    assert NETWORKS["u2netp"].checksum == f"md5:{hashlib.md5(weights.read_bytes()).hexdigest()}"


def test_a_network_that_is_not_free_for_every_use_is_refused_unless_params_allow_it() -> None:
    limited = {name for name, spec in NETWORKS.items() if not spec.commercial}

    assert limited == {"bria-rmbg"} == {name for name, spec in NETWORKS.items() if "-NC" in spec.licence}
    for name in NETWORKS:
        require(name, allow_non_commercial=True)
        if name not in limited:
            require(name)
    with pytest.raises(ParamsError, match=r"'bria-rmbg' has the licence CC-BY-NC-4\.0.*allow_non_commercial: true"):
        require("bria-rmbg")


@pytest.mark.parametrize("name", ["u2netpp", "sam", "withoutbg", "u2net_custom"])
def test_an_unknown_network_is_refused_and_the_known_ones_are_named(name: str) -> None:
    for refuse in (networks.find_spec, partial(require, allow_non_commercial=True)):
        with pytest.raises(ParamsError, match=f"model.name = '{name}': expected one of .*bria-rmbg, .*, u2netp$"):
            refuse(name)


def test_a_known_network_is_found_whatever_its_licence() -> None:
    assert {name: networks.find_spec(name) for name in NETWORKS} == NETWORKS


def test_the_network_in_int8_is_made_of_the_weights_that_are_shipped(weights: Path) -> None:
    assert networks.QUANTIZED == ("u2netp", U2NETP_SHA256)
    assert files.sha256(weights) == U2NETP_SHA256
