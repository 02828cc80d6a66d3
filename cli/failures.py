"""Errors that a caller can act on: a sentence with what to do, and an exit status for each."""

from enum import IntEnum

import click
from botocore import exceptions as aws

from contract.problems import InvalidInputError, count_problems, list_problems


class ExitStatus(IntEnum):
    """Exit statuses of `fleetscore`.

    The help screen and the documentation take their meanings from here.
    """

    meaning: str

    def __new__(cls, value: int, meaning: str) -> "ExitStatus":
        status = int.__new__(cls, value)
        status._value_ = value
        status.meaning = meaning
        return status

    SUCCEEDED = 0, "The command succeeded; with `run --wait` and `watch`, so did every job."
    FAILED = 1, "The execution failed, timed out or was stopped; with `doctor`, a finding is an error."
    REFUSED = 2, "Wrong usage, an invalid request or model, or something that does not exist."
    PARTLY_FAILED = 3, "Some jobs of the execution failed; the predictions of the others are complete."
    AWS = 4, "AWS could not be reached or refused a call, or the stacks are not deployed."
    INTERRUPTED = 130, "Interrupted with Ctrl-C; an execution that was being followed continues."


class CommandError(Exception):
    """Reason why a command cannot continue, as text for the person who typed it."""

    def __init__(self, text: str, status: ExitStatus = ExitStatus.REFUSED) -> None:
        super().__init__(text)
        self.status = status


_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_UNKNOWN_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
        "IncompleteSignature",
        "MissingAuthenticationToken",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "KMSAccessDeniedException"})
_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_SERVER_ERROR = 500
"""Lowest HTTP status of an error of the service itself."""
_GONE = frozenset({"NoSuchBucket", "ResourceNotFoundException", "StateMachineDoesNotExist"})

_SIGN_IN = "Sign in again (for example `aws sso login`), or set AWS_PROFILE or --profile."


def describe(error: BaseException) -> tuple[str, ExitStatus] | None:
    """Return text and exit status for a user's error; None for a bug of this program."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message(), ExitStatus.REFUSED
    if isinstance(error, click.UsageError):
        return describe_usage(error), ExitStatus.REFUSED
    if isinstance(error, CommandError):
        return str(error), error.status
    if isinstance(error, InvalidInputError):
        return describe_problems(error), ExitStatus.REFUSED
    if isinstance(error, aws.ClientError):
        return describe_refusal(error), ExitStatus.AWS
    sentence = _describe_local(error)
    return None if sentence is None else (sentence, ExitStatus.AWS)


def error_code(error: aws.ClientError) -> str:
    """Return the code of an error answer of AWS."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_temporary(error: aws.ClientError | aws.BotoCoreError) -> bool:
    """Return whether the same call may succeed later, without anybody doing anything."""
    if isinstance(error, aws.ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return error_code(error) in _THROTTLED | {"RequestTimeout"} or status >= _SERVER_ERROR
    # A certificate that is not trusted stays so.
    return isinstance(error, (aws.ConnectionError, aws.HTTPClientError)) and not isinstance(error, aws.SSLError)


def temporary_cause(error: aws.ClientError | aws.BotoCoreError) -> str:
    """Return what happened to a call whose error `is_temporary`, as a sentence without its full stop."""
    if not isinstance(error, aws.ClientError):
        return f"AWS cannot be reached ({str(error).rstrip('.')})"
    if error_code(error) in _THROTTLED:
        return f"AWS throttles {error.operation_name} ({error_code(error)})"
    return f"AWS could not answer {error.operation_name} ({error_code(error)})"


def describe_usage(error: click.UsageError) -> str:
    """Return what is wrong with a command line, with the usage of its command."""
    if error.ctx is None:
        return error.format_message()
    # Not `ctx.get_usage`: it may add colours although standard error is not a terminal.
    formatter = click.HelpFormatter(width=100)
    formatter.write_usage(error.ctx.command_path, " ".join(error.ctx.command.collect_usage_pieces(error.ctx)))
    return f"{error.format_message()}\n{formatter.getvalue()}Help: {error.ctx.command_path} --help"


def describe_problems(error: InvalidInputError) -> str:
    """Return the problems, one per line."""
    lines = [f"  - {problem}" for problem in list_problems(error.problems)]
    return "\n".join([f"{error.subject} has {count_problems(error.problems)}:", *lines])


def describe_refusal(error: aws.ClientError) -> str:
    """Return what an AWS service refused, and what to do about it."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    message = str(error.response.get("Error", {}).get("Message", "")) or str(error)
    call = str(error.operation_name)
    if code in _EXPIRED:
        return f"The AWS credentials have expired ({code} from {call}). {_SIGN_IN}"
    if code in _UNKNOWN_CREDENTIALS:
        return (
            f"AWS does not accept the credentials ({code} from {call}: {message}). "
            "Check the access key and --profile, and whether they belong to --endpoint-url or AWS_ENDPOINT_URL."
        )
    if code in _DENIED or code in ("403", "Forbidden"):
        return f"The credentials may not call {call} ({message}). Ask for that permission, or use another --profile."
    if code in _THROTTLED:
        return f"AWS throttles {call} ({message}). Try again in a minute."
    if code in _GONE:
        return (
            f"{call} did not find a resource that the stacks' outputs name ({message}). "
            "Deploy the stage again with `cdk deploy --all`, or check --stage and --region."
        )
    return f"AWS refused {call}: {code}: {message}"


def _describe_local(error: BaseException) -> str | None:  # noqa: PLR0911 - one return per cause
    """Return the sentence for an error of the AWS client itself; None for any other error."""
    if isinstance(error, (aws.NoCredentialsError, aws.PartialCredentialsError)):
        return (
            "There are no AWS credentials. Sign in (for example `aws sso login`) and set AWS_PROFILE or --profile, "
            'or start the embedded AWS with `eval "$(fleetscore up)"`.'
        )
    if isinstance(error, aws.ProfileNotFound):
        return f"{error}. Name one of `aws configure list-profiles` with --profile, or unset AWS_PROFILE."
    if isinstance(error, aws.NoRegionError):
        return (
            "No AWS Region is set. Add --region (for example --region eu-central-1), set AWS_REGION, "
            'or start the embedded AWS with `eval "$(fleetscore up)"`.'
        )
    if isinstance(error, aws.SSLError):
        return (
            f"The TLS certificate of the endpoint is not trusted ({error}). For the embedded AWS run "
            '`eval "$(fleetscore up)"`, else set AWS_CA_BUNDLE to the certificate authority\'s file.'
        )
    if isinstance(error, (aws.ConnectionError, aws.HTTPClientError)):
        return (
            f"AWS cannot be reached: {error}. Check the network, --endpoint-url and --region; "
            "if AWS_ENDPOINT_URL points at an embedded AWS that has ended, start another one with "
            '`eval "$(fleetscore up)"`, or open another shell.'
        )
    credential_faults = (
        aws.CredentialRetrievalError,
        aws.TokenRetrievalError,
        aws.UnauthorizedSSOTokenError,
        aws.SSOError,
        aws.LoginError,
    )
    if isinstance(error, credential_faults):
        return f"The AWS credentials could not be obtained: {error}. {_SIGN_IN}"
    if isinstance(error, aws.BotoCoreError):
        return f"The AWS client could not make its call: {error}"
    return None
