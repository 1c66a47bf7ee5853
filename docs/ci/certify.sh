#!/bin/sh
# Certifies, and says what a job shall do about the exit status. Arguments are those of `hxbench certify`.
# ACCEPT_UNDECIDED=1 lets the job pass when nothing failed but something could not be decided.
hxbench certify "$@"
status=$?
case $status in
  0) ;;
  1) echo "certify.sh: a limit was missed; the table above says which" >&2 ;;
  2) echo "certify.sh: wrong input, nothing was measured: mend the profile, the flags or the server" >&2 ;;
  3)
    echo "certify.sh: undecided: measure more, or on a quieter machine; the table above says what would decide" >&2
    if [ "${ACCEPT_UNDECIDED:-0}" = 1 ]; then status=0; fi
    ;;
  4) echo "certify.sh: the run is not whole: look at its log.txt, then run it again" >&2 ;;
  *) echo "certify.sh: interrupted; what was measured is kept" >&2 ;;
esac
exit "$status"
