"""Helm's lint and template, by its own library.

chart.py lint CHART [VALUES]            every finding but hints is an error
chart.py render CHART VALUES FOLDER     a file for each template that renders to something
"""

import json
import pathlib
import sys

import helm_python as helm

HINT = 1


def lint(chart, values="{}"):
    report = helm.lint(chart, json.loads(values), strict=True, kube_version="v1.30.0")
    findings = [finding for finding in report["messages"] if finding["severity"] > HINT]
    for finding in findings:
        print(f"{finding['path']}: {finding['error']}", file=sys.stderr)
    for error in report["errors"]:
        print(error, file=sys.stderr)
    return 1 if findings or report["errors"] else 0


def render(chart, values, folder):
    folder = pathlib.Path(folder)
    folder.mkdir()
    with helm.Chart.load(chart) as loaded:
        rendered = loaded.render(json.loads(values), name="release", namespace="default")
    for path, text in rendered.items():
        if path.endswith(".yaml") and text.strip():
            # The marker that a document begins is Helm's own to write, between manifests.
            (folder / pathlib.Path(path).name).write_text("---\n" + text.strip() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit({"lint": lint, "render": render}[sys.argv[1]](*sys.argv[2:]))
