#!/bin/sh
# The end of `make test`: which tests could not run on this machine, and why, from the file $UPLOAD_SKIPPED.
if [ -s "$UPLOAD_SKIPPED" ]; then
    echo "Skipped, as this machine cannot run them:"
    sort -u "$UPLOAD_SKIPPED" | sed 's/^/    /'
else
    echo "Nothing was skipped."
fi
