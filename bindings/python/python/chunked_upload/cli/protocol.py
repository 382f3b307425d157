"""What ``send`` and ``receive`` say to each other. Any HTTP client can take part.

Each request carries the header ``Upload-Key``: 16 to 256 characters that the client made up for this upload and keeps
to itself. Answers are JSON; a failure is ``{"error": name, "message": text}`` with a fitting status.

    PUT /chunk?file_name=F&total_size=T&chunk_number=N&chunk_count=C
        One chunk as the body, in any order, as often as need be. ``Content-Digest: sha-256=:...:`` (RFC 9530) is
        checked. {"received_all": bool}
    GET /upload?from_chunk=N
        What the server has: {"phase", "received_count", "received_size", "missing": [[first, behind the last], ...],
        "next_chunk"}; where next_chunk is not null, asking from there gives more. 404: nothing yet.
    POST /upload
        All was sent: {"name", "total_size", "crc32c"}, name being the file's in the server's directory. May be
        repeated.
    DELETE /upload
        Forget it.
"""

KEY_HEADER = "Upload-Key"
# A chunk is held in memory by both sides.
MAX_CHUNK = 64 << 20
