"""What a cluster refuses, and what this runner does not know."""


class RefusedError(Exception):
    """Tekton would not admit the object, or would not start it: it contradicts itself or what was given."""


class UnknownFieldError(Exception):
    """A field that this runner does not carry out; nothing is accepted in silence."""


class StoppedError(Exception):
    """The container was ended from outside, since the whole run was."""


class NotStartedError(Exception):
    """A container could not be started, for its image or its user. The TaskRun fails."""
