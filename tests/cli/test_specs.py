"""What `hpo schema` prints and writes."""

import json

from hpo.spec.reference.json_schema import json_schema


def test_schema_prints_the_json_schema_of_a_spec(hpo):
    result = hpo("schema")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out) == json_schema()


def test_schema_writes_a_file_and_says_how_a_spec_names_it(hpo, tmp_path):
    result = hpo("schema", "-o", "spec.json")
    assert (result.code, result.out) == (0, "")
    assert result.err.endswith("# yaml-language-server: $schema=spec.json\n")
    assert json.loads((tmp_path / "spec.json").read_text()) == json_schema()
    assert hpo("schema", "-o", "spec.json").code == 2
    assert hpo("schema", "-o", "spec.json", "--force").code == 0
