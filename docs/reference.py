"""Gathers the pages of the site: those of this folder, and reference pages made from the code.

    python docs/reference.py build/docs

writes `build/docs/pages` and the site's settings beside it; `make docs` then builds the site.
"""

from __future__ import annotations

import inspect
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, get_args

import typer.main
import yaml

import hpo
from hpo.api.events import Event
from hpo.cli.app import app
from hpo.data.download import DOWNLOADS
from hpo.registry import DATASETS, METRICS
from hpo.spec.experiment import SpecFile
from hpo.spec.marks import Mark, Spec, mark_of
from hpo.spec.reference.descriptions import description_of
from hpo.spec.reference.techniques import listed_techniques, not_with
from hpo.spec.schema import is_mapping, item_spec, variants_of
from hpo.spec.sections.goal import COSTS, KNOWN_COSTS
from hpo.spec.words import described

ROOT = Path(__file__).parents[1]
# Documents of the repository that are pages of the site, too.
ADOPTED = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks/index.md",
}
# What varying a field costs.
EFFECTS = {
    Mark.STATIC: "yes, recompiles",
    Mark.SHORTHAND: "yes, recompiles",
    Mark.KNOB: "yes",
    Mark.HOST: "yes",
    None: "no",
}
NOTE = "This page is generated from the code by `make docs`.\n"


def main(folder: Path) -> None:
    """Write all pages and the settings of the site into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in pages().items():
        path = folder / "pages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in (ROOT / "benchmarks").iterdir():
        if path.suffix in (".png", ".yaml", ".py"):
            shutil.copy(path, folder / "pages" / "benchmarks" / path.name)
    shutil.copy(ROOT / "docs" / "zensical.toml", folder / "zensical.toml")


def pages() -> dict[str, str]:
    """Every page of the site by its name: written by hand, adopted or generated."""
    found = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
    for origin, name in ADOPTED.items():
        found[name] = (ROOT / origin).read_text()
    here = {name: _links_within_the_site(text) for name, text in found.items()}
    return here | {f"reference/{name}": text for name, text in reference_pages().items()}


def reference_pages() -> dict[str, str]:
    """The generated pages by their names."""
    sections = [name for name in SpecFile.model_fields if variants_of(SpecFile, name)]
    return {
        "commands.md": commands_page(),
        "python.md": python_page(),
        "spec.md": spec_page(sections),
        **{f"{name}.md": section_page(name) for name in sections},
        "metrics.md": metrics_page(),
        "techniques.md": techniques_page(),
        "data-sets.md": data_sets_page(),
        "configs.md": files_page("configs", "Configs", "Every experiment that comes with `hpo`."),
        "search-spaces.md": files_page(
            "search_spaces", "Search spaces", "Name any of them in `space.include`."
        ),
    }


def commands_page() -> str:
    """The help of every command, as `--help` prints it."""
    root = typer.main.get_command(app)
    # A fixed width, so that the page does not depend on a window.
    context = root.make_context("hpo", [], resilient_parsing=True, terminal_width=100)
    return "\n".join(["# Commands\n", NOTE, *_help(root, context)])


def python_page() -> str:
    """Every name of `import hpo`, with its signature and its docstring."""
    parts = ["# Python\n", NOTE, "[In a notebook](../notebook.md) shows these names at work.\n"]
    for name in hpo.__all__:
        found = getattr(hpo, name)
        if isinstance(found, ModuleType):
            parts.append(f"## `hpo.{name}`\n\n```text\n{inspect.getdoc(found)}\n```\n")
            own = [
                f for f in vars(found).values() if getattr(f, "__module__", "") == found.__name__
            ]
            public = [f for f in own if isinstance(f, FunctionType) and f.__name__[0] != "_"]
            for inner in public:
                parts += list(_python(f"hpo.{name}.{inner.__name__}", inner, "###"))
        else:
            parts += list(_python(f"hpo.{name}", found))
    parts.append("## Events of `stream=True`\n")
    for event in get_args(Event):
        parts += list(_python(event.__name__, event, "###"))
    return "\n".join(parts)


def spec_page(sections: list[str]) -> str:
    """The top level of a spec file, with a link to the page of each section."""
    rows = [
        f"| {f'[`{name}`]({name}.md)' if name in sections else f'`{name}`'} "
        f"| {_cell(description_of(SpecFile, name))} |"
        for name in SpecFile.model_fields
    ]
    return "\n".join(
        [
            "# A spec file\n",
            NOTE,
            "A spec is one YAML file. [Search spaces](../spaces.md) tells what `space` takes.\n",
            "| key | meaning |\n|---|---|",
            *rows,
            "",
        ]
    )


def section_page(name: str) -> str:
    """Every field of a section, in every variant, with its type, default and effect."""
    parts = [f"# `{name}`\n", NOTE]
    variants = variants_of(SpecFile, name)
    assert variants is not None
    parts += list(_variant_parts(name, variants.tag, variants.specs, {}))
    return "\n".join(parts)


def metrics_page() -> str:
    """Every metric that an objective or a constraint may name."""
    rows = [
        f"| `{name}` | {', '.join(entry.tasks)} | {entry.direction} | after each epoch"
        f"{', where it is named' if entry.function else ''} |"
        for name, entry in METRICS.items()
    ]
    for name in COSTS:
        when = "before it trains" if name in KNOWN_COSTS else "after the last epoch"
        rows.append(f"| `{name}` | any | minimize | {when} |")
    return "\n".join(
        [
            "# Metrics\n",
            NOTE,
            "Any may be an objective or a constraint. [Goals](../goals.md) explains each.\n",
            "| metric | task | usual direction | known |\n|---|---|---|---|",
            *rows,
            "",
        ]
    )


def techniques_page() -> str:
    """Every technique: where it stands, what it costs, and what it does not go with."""
    listed = listed_techniques()
    models = list(dict.fromkeys(model for each in listed for model in each.cost))
    columns = ["name", "in the spec", *(f"cost: {model}" for model in models), "not with", "paper"]
    rows = []
    for each in listed:
        costs = [f"{each.cost[model]:+.0f} %" if model in each.cost else "" for model in models]
        apart = ", ".join(not_with(each.name))
        paper = f"[source]({each.paper})" if each.paper else ""
        places = ", ".join(f"`{place}`" for place in (each.place, *each.numbers))
        rows.append(f"| `{each.name}` | {places} | {' | '.join([*costs, apart, paper])} |")
    return "\n".join(
        [
            "# Techniques\n",
            NOTE,
            "Each is off by default. [Techniques](../techniques.md) explains each, and "
            "[models](../models.md) the optimizers. `hpo list techniques` prints this list. "
            "A spec with a pair that does not go together is refused, as `hpo check` says.\n",
            f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}",
            *rows,
            "",
        ]
    )


def data_sets_page() -> str:
    """Every data set that has a name."""
    rows = []
    for name in sorted({**DATASETS, **DOWNLOADS}):
        comes = f"`hpo data get {name}`" if name in DOWNLOADS else "with scikit-learn"
        is_named = name in DATASETS
        task = DATASETS[name].tasks[0] if is_named else "a CSV file: name it in `data.dataset.csv`"
        if name in DOWNLOADS and DOWNLOADS[name].files[0].name.endswith(".txt"):
            task = "a text: name its file in `data.dataset.text`"
        rows.append(f"| `{name}` | {task} | {comes} |")
    return "\n".join(
        [
            "# Data sets\n",
            NOTE,
            "Write the name in `data.dataset`. [My CSV](../my-csv.md) and "
            "[my images](../my-images.md) tell how to use your own files.\n",
            "| name | task | comes |\n|---|---|---|",
            *rows,
            "",
        ]
    )


def files_page(folder: str, title: str, intro: str) -> str:
    """Every YAML file of a folder, whole, under its name."""
    parts = [f"# {title}\n", NOTE, f"{intro}\n"]
    for path in sorted((ROOT / folder).glob("*.yaml")):
        parts.append(
            f"## {path.stem}\n\n`{folder}/{path.name}`\n\n```yaml\n{path.read_text()}```\n"
        )
    return "\n".join(parts)


def _help(command: Any, context: Any) -> Iterator[str]:
    """A heading and the help of a command, then those of the commands within it."""
    yield f"## `{context.command_path}`\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
    for name, inner in getattr(command, "commands", {}).items():
        yield from _help(
            inner, inner.make_context(name, [], parent=context, resilient_parsing=True)
        )


def _python(name: str, found: Any, level: str = "##") -> Iterator[str]:
    """A heading, the signature and the docstring of a function, or of all public ones within it."""
    if isinstance(found, ModuleType):
        yield f"{level} `{name}`\n\n```text\n{inspect.getdoc(found)}\n```\n"
        for inner in found.__all__:
            yield from _python(f"{name}.{inner}", getattr(found, inner), level + "#")
        return
    is_error = isinstance(found, type) and issubclass(found, Exception)
    call = "" if is_error or isinstance(found, property) else _signature(name, found)
    yield f"{level} `{name}`\n\n{call}```text\n{inspect.getdoc(found)}\n```\n"
    for method, inner in vars(found).items() if isinstance(found, type) else ():
        inner = getattr(inner, "__func__", inner)
        if not method.startswith("_") and isinstance(inner, FunctionType | property):
            yield from _python(f"{found.__name__}.{method}", inner, level + "#")


def _signature(name: str, found: Any) -> str:
    # Annotations are texts there, in quotes.
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(found)))
    text = text.replace("(self, ", "(").replace("(self)", "()")
    if len(name + text) > 90:
        text = re.sub(r"(,|(?<=\()) ?(?=\w+:|\*)", r"\1\n    ", text)
        text = re.sub(r"\)( -> .*)?$", r"\n)\1", text)
    return f"```python\n{name}{text}\n```\n\n"


def _variant_parts(
    path: str, tag: str | None, specs: Mapping[str, type[Spec]], shown: dict[str, set[type[Spec]]]
) -> Iterator[str]:
    """A heading and a table for each variant, then the same for the sections within them.

    `shown` holds the specs that the page has so far, by their paths.
    """
    shown[path] = set(specs.values())
    names: dict[type[Spec], list[str]] = {}
    for name, spec in specs.items():
        names.setdefault(spec, []).append(name)
    for spec, chosen in names.items():
        if tag is not None:
            label = ": " + " or ".join(f"`{{{tag}: {name}}}`" for name in chosen)
        else:
            label = "" if len(specs) == 1 else f": `{{{chosen[0]}: ...}}`"
        yield f"## `{path}`{label}\n\n{_paragraphs(spec.__doc__ or '')}\n"
        yield _table(spec, path, tag)
    for spec in names:
        for field in spec.model_fields:
            inner, item = variants_of(spec, field), item_spec(spec, field)
            many = f"{path}.{field}" + (".NAME" if is_mapping(_type_of(spec, field)) else "[]")
            if inner is None and item is not None and many not in shown:
                yield from _variant_parts(many, None, {field: item}, shown)
            if inner is None or f"{path}.{field}" in shown:
                continue
            known = [at for at, found in shown.items() if set(inner.specs.values()) <= found]
            if known:
                shown[f"{path}.{field}"] = set(inner.specs.values())
                choices = ", ".join(f"`{name}`" for name in inner.specs)
                yield f"## `{path}.{field}`\n\nOne of `{known[0]}`: {choices}.\n"
            else:
                yield from _variant_parts(f"{path}.{field}", inner.tag, inner.specs, shown)


def _table(spec: type[Spec], path: str, tag: str | None) -> str:
    rows = []
    for name, info in spec.model_fields.items():
        if name == tag:
            continue
        default = "must be given" if info.is_required() else f"`{_default(info)}`"
        inner, item = variants_of(spec, name), item_spec(spec, name)
        takes = described(info.annotation, info.metadata) if inner is None else "a mapping"
        if item is not None and inner is None:
            named = is_mapping(_type_of(spec, name))
            takes = "a mapping of names" if named else "a list of mappings"
        effect = "see below" if inner is not None else EFFECTS[mark_of(spec, name)]
        text = description_of(spec, name)
        rows.append(f"| `{name}` | {_cell(takes)} | {_cell(default)} | {effect} | {_cell(text)} |")
    if not rows:
        return ""
    head = "| field | takes | default | may vary | meaning |\n|---|---|---|---|---|"
    return "\n".join([head, *rows, ""])


def _type_of(spec: type[Spec], field: str) -> Any:
    return spec.model_fields[field].annotation


def _default(info: Any) -> str:
    value = info.get_default(call_default_factory=True)
    if isinstance(value, Spec):
        value = value.model_dump(mode="json", exclude_unset=True)
    value = list(value) if isinstance(value, tuple) else value
    value = dict(value) if isinstance(value, Mapping) else value
    text = yaml.safe_dump(value, default_flow_style=True, width=1_000)
    return text.removesuffix("...\n").strip()


def _paragraphs(doc: str) -> str:
    """A docstring without its indentation."""
    return re.sub(r"\n +", "\n", doc.strip())


def _cell(text: str) -> str:
    """Text for one cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def _links_within_the_site(text: str) -> str:
    """The text of a page whose links to files of the repository lead to pages of the site."""
    for origin, name in ADOPTED.items():
        text = text.replace(f"](../{origin}", f"]({name}")
    text = text.replace("](docs/", "](")
    for folder, page in (("configs", "configs"), ("search_spaces", "search-spaces")):
        text = re.sub(rf"\]\(\.\./{folder}/(\w+)\.yaml\)", rf"](reference/{page}.md#\1)", text)
    return text


if __name__ == "__main__":
    main(Path(sys.argv[1]))
