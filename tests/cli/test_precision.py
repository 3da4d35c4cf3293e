"""--precision: shown resolved, refused where there is no network, and named by doctor."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(("asked", "used"), [((), "bf16"), (("--precision", "fp32"), "fp32")])
@pytest.mark.parametrize(
    ("command", "path"),
    [
        (("purify", "digits", "out", "--method", "puregen-ddpm"), ("settings", "puregen-ddpm")),
        (("poison", "digits", "out", "--attack", "tap"), ("settings", "tap")),
        (("train", "digits", "--test", "digits#test", "--out", "out"), ("settings",)),
        (("fit", "ebm", "digits", "--out", "out.safetensors"), ("settings",)),
        (("fit", "denoiser", "digits", "--out", "out.safetensors"), ("settings",)),
    ],
)
def test_a_dry_run_says_what_would_be_used(run, processor, command, path, asked, used):
    processor({"avx512_bf16": True})
    shown = json.loads(run(*command, "--dry-run", *asked)[1].splitlines()[-1])
    for name in path:
        shown = shown[name]
    assert shown["precision"] == used


@pytest.mark.parametrize(
    "command", [("purify", "digits", "out", "--method", "jpeg"), ("poison", "digits", "out", "--attack", "lsp")]
)
def test_methods_without_a_network_refuse_it(run, command):
    code, _, err = run(*command, "--precision", "fp32", "--dry-run")
    assert code == 2
    assert "computes without a network; omit --precision" in err


def test_doctor_says_what_auto_is_and_why(run, processor):
    processor({"avx2": True})
    assert json.loads(run("doctor", "--json")[1].splitlines()[-1])["precision"].startswith("fp32: the processor")


@pytest.mark.parametrize(
    ("options", "used"),
    [
        ((), "int8"),
        (("--precision", "int8"), "int8"),
        (("--precision", "fp32"), "fp32"),
        (("--sigma", "2/255", "--set", "field=0"), "fp32"),
    ],
)
def test_fast_computes_in_int8_unless_there_is_too_little_noise_for_it(run, processor, options, used):
    processor({"avx2": True})
    code, out, _ = run("purify", "digits", "out", *options, "--dry-run")
    assert code == 0
    assert json.loads(out)["settings"]["fast"]["precision"] == used


def test_other_methods_have_no_int8(run):
    code, _, err = run("purify", "digits", "out", "--method", "puregen-ebm", "--precision", "int8", "--dry-run")
    assert code == 2
    assert "puregen-ebm has no precision int8; choose from auto, fp32, bf16" in err
