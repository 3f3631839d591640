"""The configuration: one strict tree, from YAML with `extends` and `a.b=c`, to a resolved file that reproduces the run."""

from genre.config.loading import config_schema, dump_config, load_config, load_run_config, parse_config
from genre.config.merging import ConfigError, merge
from genre.config.tree import POLICY_RUNG, GenreConfig

__all__ = [
    "POLICY_RUNG", "ConfigError", "GenreConfig", "config_schema", "dump_config", "load_config", "load_run_config", "merge", "parse_config",
]  # fmt: skip
