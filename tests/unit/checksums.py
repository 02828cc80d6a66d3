import base64

from awscrt import checksums


def crc64nvme(content: bytes) -> str:
    """Return the CRC64NVME of a content in Base64, as S3 shows it."""
    return base64.b64encode(checksums.crc64nvme(content).to_bytes(8, "big")).decode()
