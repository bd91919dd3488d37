"""The ``crsteps`` command: run steps on many files, look after parameter files, show a demo.

Exit codes: 0 done; 1 the user's mistake, told in one line; 2 a failure, with a log file. Nothing
heavy is imported before it is needed, so that ``crsteps --help`` answers at once.
"""

import argparse
import ast
import collections
import glob
import importlib.util
import logging
import re
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from crsteps import __version__
from crsteps.errors import CrstepsInputError
from crsteps.framework.parameters import copied, nearest, validated
from crsteps.integration import get_steps

DONE, USER_ERROR, FAILURE, INTERRUPTED = 0, 1, 2, 130
_PARAMETER_FILES = (".asdf", ".yaml", ".yml")
_LOG_LINES = 5000  # kept for the log file of a failure


def main(argv=None):
    """
    Run the ``crsteps`` command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit code: 0 done, 1 user error, 2 failure.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as stop:  # --help, --version, or a usage error already told
        return stop.code or DONE
    folder = getattr(arguments, "output_dir", None)
    with _LogKeeper() as kept, _mistakes_told_once():
        return _guarded(lambda: arguments.action(arguments, kept), folder, kept)


# --- arguments ------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        """Tell a usage error in one line, with the exit code of the user's mistakes."""
        self.exit(USER_ERROR, f"crsteps: error: {message} (see {self.prog} --help)\n")


def _parser():
    parser = _Parser(prog="crsteps", description=__doc__.split("\n\n")[0])
    parser.add_argument("--version", action="version", version=f"crsteps {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run", help="run a step or pipeline on files", description="Run a step or pipeline."
    )
    run.add_argument("target", metavar="TARGET", help="alias, class or parameter file")
    run.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help="files, patterns such as '*.fits', association; none if a YAML of numina lists them",
    )
    run.add_argument(
        "--param",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="set a parameter (steps.NAME.PARAMETER in a pipeline); may be repeated",
    )
    run.add_argument("--output-dir", metavar="DIR", help="folder of the products; made if absent")
    run.set_defaults(action=_run)

    params = commands.add_parser("params", help="show, check or convert a parameter file")
    actions = params.add_subparsers(metavar="ACTION", required=True)
    for name, action, text in (
        ("show", _params_show, "print a parameter file with the defaults filled in"),
        ("validate", _params_validate, "check a parameter file"),
        ("to-asdf", _params_to_asdf, "convert YAML to the ASDF that strun reads"),
    ):
        sub = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        sub.add_argument("file", metavar="FILE")
        if name == "to-asdf":
            sub.add_argument("-o", "--output", metavar="OUT", help="default: FILE with .asdf")
        sub.set_defaults(action=action)

    demo = commands.add_parser("demo", help="simulate exposures, clean them, compare with truth")
    demo.add_argument("--output-dir", metavar="DIR", default="crsteps-demo")
    demo.set_defaults(action=_demo)

    commands.add_parser("list", help="list the steps").set_defaults(action=_list)
    return parser


# --- commands -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    """A step class and the parameters with which it is called."""

    step_class: type
    parameters: dict = field(default_factory=dict)
    images: tuple = ()


def _run(arguments, kept):
    inputs = _expand_inputs(arguments.inputs)
    if not inputs and Path(arguments.target).suffix.lower() not in _PARAMETER_FILES:
        raise CrstepsInputError(f"There is nothing to run {arguments.target} on: give INPUT files.")
    given = _split_parameters(arguments.param)
    target = _find_target(arguments.target)
    inputs = inputs or list(target.images)
    if not inputs:
        raise CrstepsInputError(f"{arguments.target} lists no images: give INPUT files.")
    parameters = {"save_results": True, **copied(target.parameters)}
    spec = target.step_class.load_spec_file()
    for name, text in given.items():
        _set_parameter(parameters, spec, target.step_class.__name__, name, text)
    if arguments.output_dir is not None:
        if Path(arguments.output_dir).exists() and not Path(arguments.output_dir).is_dir():
            raise CrstepsInputError(
                f"--output-dir {arguments.output_dir} is a file: give a folder."
            )
        parameters["output_dir"] = arguments.output_dir
    validated(target.step_class, parameters)

    if getattr(target.step_class, "multi_exposure", False):
        # one path stays a path: it can be an association, which names the product
        together = inputs[0] if len(inputs) == 1 else inputs
        target.step_class.call(together, **copied(parameters))
        return DONE
    return _run_each(target.step_class, parameters, inputs, arguments.output_dir, kept)


def _run_each(step_class, parameters, inputs, folder, kept):
    """Call a step on each input, going on after one that fails; return the worst exit code."""
    if len(inputs) > 1 and sys.stderr.isatty():
        from tqdm import tqdm

        progress = tqdm(inputs, unit="file")
    else:
        progress = inputs
    codes = [
        _guarded(
            lambda item=item: step_class.call(item, **copied(parameters)) and None,
            folder,
            kept,
            about=item if len(inputs) > 1 else None,
        )
        for item in progress
    ]
    if len(inputs) > 1 and max(codes) != DONE:
        failed = sum(code != DONE for code in codes)
        _complain(f"{failed} of {len(inputs)} inputs failed")
    return max(codes)


def _params_show(arguments, kept):
    from crsteps.framework import parameter_files

    print(parameter_files.show(_validated_file(arguments.file)))


def _params_validate(arguments, kept):
    _validated_file(arguments.file)
    print(f"{arguments.file} is valid.")


def _params_to_asdf(arguments, kept):
    from crsteps.framework import parameter_files

    loaded = _validated_file(arguments.file)
    output = arguments.output or str(Path(arguments.file).with_suffix(".asdf"))
    parameter_files.to_asdf(loaded, output)
    print(output)
    if images := getattr(loaded, "images", ()):
        print(f"It names no images: crsteps run {output} {' '.join(map(str, images))}")


def _validated_file(path):
    """Contents of a parameter file, or of a file of numina-crmasks, which names images too."""
    from crsteps.datamodels.numina_files import is_numina_file, read_numina_file
    from crsteps.framework import parameter_files

    return parameter_files.validate(read_numina_file(path) if is_numina_file(path) else path)


def _demo(arguments, kept):
    from crsteps.verification.demo import run_demo

    run_demo(arguments.output_dir)


def _list(arguments, kept):
    rows = [
        (alias, class_name, _first_doc_line(class_name)) for class_name, alias, _ in get_steps()
    ]
    width = max(len(alias) for alias, _, _ in rows)
    for alias, class_name, line in rows:
        print(f"{alias:<{width}}  {line} ({class_name})")


def _first_doc_line(class_name):
    """First line of a class's docstring, without importing its module (which would load jwst)."""
    module, _, name = class_name.rpartition(".")
    found = importlib.util.find_spec(module)
    tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return (ast.get_docstring(node) or "").split("\n")[0].rstrip(".")
    return ""


# --- what is run on what --------------------------------------------------------------------


def _expand_inputs(inputs):
    """Expand patterns, sorted; every input exists."""
    paths = []
    for item in inputs:
        found = [item] if Path(item).exists() else sorted(glob.glob(item, recursive=True))
        if not found:
            kind = "match for the pattern" if glob.has_magic(item) else "input file"
            raise CrstepsInputError(f"There is no {kind} {item}: check the path.")
        paths += found
    return paths


def _split_parameters(texts):
    parameters = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            raise CrstepsInputError(f"--param {text}: write --param name=value.")
        parameters[name.strip()] = value.strip()
    return parameters


def _find_target(name):
    """Find the step class and parameters that TARGET means."""
    path = Path(name)
    if path.suffix.lower() in _PARAMETER_FILES:
        if not path.is_file():
            raise CrstepsInputError(f"There is no parameter file {name}: check the path.")
        loaded = _validated_file(path)
        images = tuple(map(str, getattr(loaded, "images", ())))
        return _Target(loaded.step_class, loaded.parameters, images)
    from crsteps.framework.step_classes import find_step_class

    return _Target(find_step_class(name))


# --- parameters -----------------------------------------------------------------------------


def _set_parameter(parameters, spec, owner, name, text):
    """Put one ``--param`` where stpipe expects it; its specification decides what the text is."""
    *sections, key = name.split(".")
    path = ""
    for section in sections:
        known = [path + k for k in spec if isinstance(spec[k], dict)]
        path += section
        if path not in known:
            raise CrstepsInputError(f"{owner} has no parameters {path}{nearest(path, known)}")
        path += "."
        spec, parameters = spec[section], parameters.setdefault(section, {})
    known = [path + k for k in spec if not isinstance(spec[k], dict)]
    if name not in known:
        raise CrstepsInputError(f"{owner} has no parameter {name}{nearest(name, known)}")
    if re.match(r"\w*list\(", spec[key].strip()):
        parameters[key] = [part.strip() for part in text.split(",") if part.strip()]
    else:
        parameters[key] = text


# --- errors ---------------------------------------------------------------------------------


def _guarded(call, folder, kept, about=None):
    """Call; return its exit code, having told what went wrong in one line."""
    prefix = f"{about}: " if about else ""
    try:
        return call() or DONE
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except (Exception, SystemExit) as error:  # CRDS ends the process when it finds no server
        if _is_user_error(error):
            message = str(error)
            _complain(message if about and about in message else prefix + message)
            return USER_ERROR
        place = _write_log(folder, kept)
        what = f"{type(error).__name__}: {error}".strip(": ")
        _complain(f"{prefix}failed with {what} (log: {place})")
        return FAILURE


def _is_user_error(error):
    if isinstance(error, CrstepsInputError):
        return True
    # not imported for it: if stpipe is not loaded, the error is not stpipe's
    exceptions = sys.modules.get("stpipe.exceptions")
    return exceptions is not None and isinstance(error, exceptions.ValidationError)


def _complain(message):
    print("crsteps: error: " + " ".join(message.split()), file=sys.stderr)


class _LogKeeper(logging.Handler):
    """Keeps the last log records, for the log file of a failure."""

    def __init__(self):
        super().__init__()
        self.lines = collections.deque(maxlen=_LOG_LINES)
        self.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))

    def emit(self, record):
        """Keep one record."""
        self.lines.append(self.format(record))

    def __enter__(self):
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *exception):
        logging.getLogger().removeHandler(self)


@contextmanager
def _mistakes_told_once():
    """Keep the base step from logging the user's mistakes, for the command tells them."""
    logger = logging.getLogger("crsteps.framework.step")

    def below_error(record):
        return record.levelno < logging.ERROR

    logger.addFilter(below_error)
    try:
        yield
    finally:
        logger.removeFilter(below_error)


def _write_log(folder, kept):
    """Write the log of a failure to the output folder, else where it is possible."""
    name = time.strftime("crsteps-%Y%m%dT%H%M%S-")
    text = "\n".join(
        [f"crsteps {__version__}: {' '.join(sys.argv)}", *kept.lines, traceback.format_exc()]
    )
    for place in (folder or ".", tempfile.gettempdir()):
        try:
            Path(place).mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", prefix=name, suffix=".log", dir=place, delete=False, encoding="utf-8"
            ) as stream:
                stream.write(text)
            return stream.name
        except OSError:
            continue
    return "none, no folder could be written to"


if __name__ == "__main__":
    sys.exit(main())
