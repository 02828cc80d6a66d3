import pytest
from botocore import exceptions as aws

from cli.failures import CommandError, ExitStatus, describe
from contract.problems import InvalidInputError, Problem


def refusal(code: str, message: str = "message of the service") -> aws.ClientError:
    return aws.ClientError({"Error": {"Code": code, "Message": message}}, "StartExecution")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (aws.NoCredentialsError(), "There are no AWS credentials. Sign in"),
        (aws.PartialCredentialsError(provider="env", cred_var="x"), "There are no AWS credentials"),
        (aws.ProfileNotFound(profile="ads"), "The config profile (ads) could not be found. Name one of"),
        (aws.NoRegionError(), "No AWS Region is set. Add --region"),
        (aws.SSLError(endpoint_url="https://x", error="self-signed"), "not trusted"),
        (aws.EndpointConnectionError(endpoint_url="https://x:1"), "AWS cannot be reached: Could not connect"),
        (aws.ConnectTimeoutError(endpoint_url="https://x:1"), "AWS cannot be reached"),
        (aws.UnauthorizedSSOTokenError(), "Sign in again"),
        (aws.TokenRetrievalError(provider="sso", error_msg="gone"), "Sign in again"),
        (refusal("ExpiredTokenException"), "have expired (ExpiredTokenException from StartExecution). Sign in again"),
        (refusal("UnrecognizedClientException"), "does not accept the credentials"),
        (refusal("AccessDeniedException"), "may not call StartExecution (message of the service)"),
        (refusal("403", "Forbidden"), "may not call StartExecution"),
        (refusal("ThrottlingException"), "throttles StartExecution"),
        (refusal("StateMachineDoesNotExist"), "Deploy the stage again"),
        (refusal("InvalidName"), "AWS refused StartExecution: InvalidName: message of the service"),
    ],
)
def test_aws_errors_become_sentences_with_a_remedy(error: Exception, words: str) -> None:
    known = describe(error)
    assert known is not None
    text, status = known
    assert words in text
    assert status is ExitStatus.AWS


def test_problems_are_listed_one_per_line() -> None:
    problems = [Problem("a", 1, "a string"), Problem("b", None, "a value")]
    assert describe(InvalidInputError("request", problems)) == (
        "request has 2 problems:\n  - a: got 1, expected a string\n  - b: got nothing, expected a value",
        ExitStatus.REFUSED,
    )


def test_command_error_has_its_own_exit_status() -> None:
    assert describe(CommandError("no", ExitStatus.AWS)) == ("no", ExitStatus.AWS)


def test_a_bug_of_the_program_is_not_described() -> None:
    assert describe(KeyError("x")) is None
