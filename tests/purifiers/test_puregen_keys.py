"""Every spelling of a data key, to our purifiers and back."""

from __future__ import annotations

import pytest
from data.conftest import assert_one_line

from unpoison.core.errors import SettingsError
from unpoison.purifiers.puregen.keys import DataKey, compose_key, key_of, parse_key
from unpoison.purifiers.settings import purifier_settings

IMAGENET = "cinic10_imagenet_nf[128]"
DDPM = "cinic10_imagenet_DDPM[250]_nf[L]"

SPELLINGS = {
    "Baseline": ("", {}),
    "JPEG[75]": ("jpeg", {"quality": 75}),
    "JEPG[85]": ("jpeg", {"quality": 85}),
    f"EBMSNGAN32[{IMAGENET}]_Steps[150]_T[0.0001]": ("puregen-ebm", {"steps": 150, "temperature": 1e-4}),
    f"EBM[{IMAGENET}]_Steps[750]_T[7.5e-05]": ("puregen-ebm", {"steps": 750, "temperature": 7.5e-5}),
    f"EBM[{IMAGENET}_Steps[150]_T[0.0001]": ("puregen-ebm", {"steps": 150, "temperature": 1e-4}),
    "EBM[cinic10_imagenet_ep120_nf32]_Steps[50]_T[1e-05]": ("puregen-ebm", {"steps": 50, "temperature": 1e-5}),
    "SuperLightEBM[cifar10_nf48]_Steps[10]": ("puregen-ebm", {"steps": 10}),
    "EBM[Steps[150]]": ("puregen-ebm", {"steps": 150}),
    f"DM_UNET[{DDPM}]_T[75]": ("puregen-ddpm", {"t": 75}),
    f"DM_UNET[{DDPM}]_T[125]_ReverseOnly": ("puregen-ddpm", {"t": 125, "reverse_only": True}),
    "DM_UNET_SMALL[cifar10]_T[50]": ("puregen-ddpm", {"t": 50}),
    "HF_DDPM[google/ddpm-cifar10-32]_T[50]": ("puregen-ddpm", {"t": 50}),
    "DDPM[T[75]]": ("puregen-ddpm", {"t": 75}),
    "EBM[Steps[150]]_DDPM[T[75]]": ("puregen-naive", {"langevin_steps": 150, "t": 75}),
    "EBM[Steps[10]]_DDPM[T[50]]_reps5": ("puregen-reps", {"langevin_steps": 10, "t": 50, "reps": 5}),
    f"EBMSNGAN32[{IMAGENET}]_Steps[50]_T[0.0001]_DM_UNET[{DDPM}]_T[25]_reps6": (
        "puregen-reps",
        {"langevin_steps": 50, "temperature": 1e-4, "t": 25, "reps": 6},
    ),
    f"EBMSNGAN32[{IMAGENET}]_Steps[150]_T[0.0001]HF_DDPM[google/ddpm-cifar10-32]_T[50]": (
        "puregen-naive",
        {"langevin_steps": 150, "temperature": 1e-4, "t": 50},
    ),
    "JPEG[75]_EBM[Steps[150]]": ("jpeg+puregen-ebm", {"jpeg.quality": 75, "puregen-ebm.steps": 150}),
}


@pytest.mark.parametrize("key", SPELLINGS)
def test_every_spelling(key):
    found = parse_key(key)
    assert (found.method, found.settings) == SPELLINGS[key]
    again = parse_key(compose_key(found))
    assert again.method == found.method
    assert (again.ebm_steps, again.t, again.reps, again.quality) == (
        found.ebm_steps,
        found.t,
        found.reps,
        found.quality,
    )


@pytest.mark.parametrize("key", [key for key in SPELLINGS if key != "Baseline"])
def test_our_purifiers_take_the_settings_of_every_key_and_give_it_back(key):
    found = parse_key(key)
    settings = purifier_settings(found.method, overrides=found.settings)
    again = key_of({name: link.model_dump(mode="json") for name, link in settings.items()})
    assert again is not None
    assert again.links == {
        name: {**fields, **({} if "t" in fields and "langevin_steps" not in fields else _temperature(name, fields))}
        for name, fields in found.links.items()
    }


def _temperature(name, fields):
    """Settings always say it, keys not always."""
    return {} if name == "jpeg" else {"temperature": fields.get("temperature", 1e-4)}


def test_what_no_key_says():
    def key(method, **fields):
        settings = purifier_settings(method, overrides={"t": 75, **fields} if "ddpm" in method else fields)
        return key_of({name: link.model_dump(mode="json") for name, link in settings.items()})

    assert key_of({}) == DataKey()
    assert key("fast") is None
    assert key("grayscale+jpeg") is None
    assert key("puregen-ddpm", steps=5) is None
    assert key("puregen-ddpm", steps=75, model="") == DataKey(t=75)
    assert key("puregen-filt", model="") == DataKey(t=125)
    named = key("puregen-naive", energy="models/energy.safetensors", model="net.safetensors")
    assert compose_key(named) == "EBM[energy]_Steps[150]_T[0.0001]_DM_UNET[net]_T[75]"
    assert parse_key(compose_key(named)) == named


def test_both_models_without_noise_are_read_and_refused():
    found = parse_key(f"EBMSNGAN32[{IMAGENET}]_Steps[150]_T[0.0001]_DM_UNET[{DDPM}]_T[75]_ReverseOnly")
    with pytest.raises(SettingsError, match="has no setting 'reverse_only'"):
        purifier_settings(found.method, overrides=found.settings)


def test_models_are_named_where_the_key_names_them():
    key = f"EBMSNGAN32[{IMAGENET}]_Steps[150]_T[0.0001]_DM_UNET[{DDPM}]_T[75]"
    assert parse_key(key).models == {"ebm": ("EBMSNGAN32", IMAGENET), "diffusion": ("DM_UNET", DDPM)}
    assert compose_key(parse_key(key)) == key
    assert parse_key(f"EBM[{IMAGENET}_Steps[150]_T[0.0001]").models == {"ebm": ("EBM", IMAGENET)}
    assert parse_key("EBM[Steps[150]]_DDPM[T[75]]").models == {}


def test_what_is_composed_is_what_purify_writes():
    models = {"ebm": ("EBMSNGAN32", IMAGENET), "diffusion": ("DM_UNET", "google/ddpm-cifar10-32")}
    key = DataKey(ebm_steps=10, temperature=1e-4, t=50, reverse_only=True, reps=5, models=models)
    assert compose_key(key) == (
        f"EBMSNGAN32[{IMAGENET}]_Steps[10]_T[0.0001]_DM_UNET[google_ddpm-cifar10-32]_T[50]_ReverseOnly_reps5"
    )
    assert compose_key(DataKey()) == "Baseline"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "baseline",
        "_reps5",
        "EBM[Steps[150]]_reps5",
        "JPEG[75]_reps2",
        "JPEG[75",
        "JPEG[75]!",
        "JPEG[75]_",
        "EBM[Steps[]]",
        "EBM[Steps[1]]_EBM[Steps[2]]",
        "DDPM[T[75]]x",
        "EBM[" + "x" * 5000 + "]_Steps[1]",
        "JPEG[75]\n",
    ],
)
def test_other_names_are_no_keys(key):
    with pytest.raises(SettingsError, match="no data key of PureGen") as caught:
        parse_key(key)
    assert_one_line(caught.value, "JPEG[75]")
    assert len(str(caught.value)) < 300
