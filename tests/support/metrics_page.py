"""Reading the pages of the monitoring server: samples of metrics by name and labels."""

import urllib.error
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

Sample = tuple[str, frozenset[tuple[str, str]]]


def read(page: bytes) -> dict[Sample, float]:
    """Every sample of a page by name and labels."""
    families = text_string_to_metric_families(page.decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(samples: dict[Sample, float], name: str, **labels: str) -> float:
    """The value of the sample with exactly these labels."""
    return samples[name, frozenset(labels.items())]


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a page of this machine."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
