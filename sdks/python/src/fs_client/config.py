# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""Descriptions of functions, built in code."""

import json


class KafkaInput:
    """A topic of Kafka to read."""

    def __init__(self, bootstrap_servers, topic, group_id, partition=None):
        self.data = {
            "input-type": "kafka",
            "bootstrap_servers": bootstrap_servers,
            "topic": topic,
            "group_id": group_id,
        }
        if partition is not None:
            self.data["partition"] = partition


class KafkaOutput:
    """A topic of Kafka to write."""

    def __init__(self, bootstrap_servers, topic, partition=None):
        self.data = {"output-type": "kafka", "bootstrap_servers": bootstrap_servers, "topic": topic}
        if partition is not None:
            self.data["partition"] = partition


class LogInput:
    """A topic of the server's own log to read."""

    def __init__(self, topic):
        self.data = {"input-type": "log", "topic": topic}


class LogOutput:
    """A topic of the server's own log to write."""

    def __init__(self, topic):
        self.data = {"output-type": "log", "topic": topic}


class WasmTaskConfig:
    """A description, as WasmTaskBuilder makes it."""

    def __init__(
        self,
        task_name,
        task_type,
        input_groups,
        use_builtin,
        enable_checkpoint,
        checkpoint_interval,
        init_config,
        outputs,
    ):
        self.task_name = task_name
        self.task_type = task_type
        self.input_groups = input_groups
        self.use_builtin_event_serialization = use_builtin
        self.enable_checkpoint = enable_checkpoint
        self.checkpoint_interval_seconds = checkpoint_interval
        self.init_config = init_config
        self.outputs = outputs

    def to_dict(self):
        """Returns the description as a config.yaml has it."""
        return {
            "name": self.task_name,
            "type": self.task_type,
            "use_builtin_event_serialization": self.use_builtin_event_serialization,
            "enable_checkpoint": self.enable_checkpoint,
            "checkpoint_interval_seconds": self.checkpoint_interval_seconds,
            "init_config": self.init_config,
            "input-groups": self.input_groups,
            "outputs": self.outputs,
        }

    def to_yaml(self):
        """Returns the text of a config.yaml. It is JSON, which is YAML, too."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    @classmethod
    def from_yaml(cls, text):
        """Reads a config.yaml. Other YAML than JSON needs the package PyYAML."""
        try:
            data = json.loads(text)
        except ValueError:
            import yaml

            data = yaml.safe_load(text)
        if not isinstance(data, dict):
            raise ValueError("a config.yaml must be a mapping")
        name = str(data.get("name") or "").strip() or "default-processor"
        return cls(
            task_name=name,
            task_type=data.get("type") or "python",
            input_groups=data.get("input-groups") or [],
            use_builtin=data.get("use_builtin_event_serialization", False),
            enable_checkpoint=data.get("enable_checkpoint", False),
            checkpoint_interval=max(1, data.get("checkpoint_interval_seconds", 1)),
            init_config=data.get("init_config") or {},
            outputs=data.get("outputs") or [],
        )


class WasmTaskBuilder:
    """Builds a description step by step."""

    def __init__(self):
        self._name = None
        self._type = "python"
        self._builtin = False
        self._checkpoint = (False, 1)
        self._init_config = {}
        self._input_groups = []
        self._outputs = []

    def set_name(self, name):
        """Sets the function's name."""
        self._name = name
        return self

    def set_type(self, task_type):
        """Sets what it is made of: python, or processor."""
        self._type = task_type
        return self

    def set_builtin_serialization(self, enabled):
        """Accepted, without effect."""
        self._builtin = enabled
        return self

    def configure_checkpoint(self, enabled, interval=1):
        """Accepted, without effect."""
        self._checkpoint = (enabled, max(1, interval))
        return self

    def add_init_config(self, key, value):
        """Adds a setting for the function's ``init``."""
        self._init_config[key] = value
        return self

    def add_input_group(self, inputs):
        """Adds an input group."""
        self._input_groups.append({"inputs": [one.data for one in inputs]})
        return self

    def add_output(self, output):
        """Adds an output."""
        self._outputs.append(output.data)
        return self

    def build(self):
        """Returns the description."""
        enabled, interval = self._checkpoint
        return WasmTaskConfig(
            task_name=(self._name or "").strip() or "default-processor",
            task_type=self._type,
            input_groups=list(self._input_groups),
            use_builtin=self._builtin,
            enable_checkpoint=enabled,
            checkpoint_interval=interval,
            init_config=dict(self._init_config),
            outputs=list(self._outputs),
        )


#: The same by its other name.
ConfigBuilder = WasmTaskBuilder
