/** Shell functions for a guest with attachments: who serves one, who keeps it, its device, and load on that. */
export const ATTACHMENT_FUNCTIONS = `
pid() { sed 's/.*"pid":\\([0-9]*\\).*/\\1/' /run/lunport/attached/$1/record.json; }
keeper() { cat /proc/$(pid $1)/task/*/children | tr -d ' '; }
device() { sed 's/.*"path":".dev.\\([a-z0-9]*\\)".*/\\1/' /run/lunport/attached/$1/record.json; }
ended() { until_ '[ -e /tmp/$d.ended ]'; echo dd ended with $(cat /tmp/$d.ended); }
gone() { until_ "[ ! -e /run/lunport/attached/$1 ] && [ ! -b /dev/$d ]" && echo gone; }
load() { (status=0; dd if=/dev/zero of=/dev/$1 bs=64k count=\${2:-1000000} oflag=direct 2>/dev/null || status=$?; echo $status >/tmp/$1.ended) & }
running() { rm -f /tmp/$1.ended; load $*; sleep 0.5; test ! -e /tmp/$1.ended; }
`;
