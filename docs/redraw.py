#!/usr/bin/env python3
"""Makes a draw anew from its record: redraw.py DRAW.json FRAME.json

DRAW.json is the answer to GET /v1/draws/{id}; FRAME.json an array of the items of GET /v1/draws/{id}/frame, all pages.
Says whether the digest, the seed and the drawn visits are those on record. docs/auditing.md explains each step.
"""
import base64, hashlib, hmac, json, sys, uuid

draw, frame = (json.load(open(path)) for path in sys.argv[1:3])

# 1. What could be drawn, and by which rules, as it was sealed by the request's entry in the journal.
lines = ["sampark draw 1", f"unit {draw['unit_id']}", f"campaign {draw['campaign_id']}", f"days {draw['from']} {draw['to']}",
         f"outcomes {','.join(draw['outcomes']) or 'every'}", f"strata {draw['strata']}", f"size {draw['size']}",
         f"decision_number {draw['decision_number']}", f"unconfirmed {draw['unconfirmed']}",
         "compare " + json.dumps(draw["compare"], sort_keys=True, separators=(",", ":"), ensure_ascii=False),
         f"visits {len(frame)}"]
lines += [f"{v['visit_id']} {v['version']} {v['booth_id']} {v['worker_id']}" for v in frame]
digest = hashlib.sha256("".join(line + "\n" for line in lines).encode()).digest()

# 2. The seed, from the first signed head that covers that entry.
head = draw["seed"]["head"]
seed = hashlib.sha256(base64.b64decode(head["root"]) + base64.b64decode(head["signature"])
                      + draw["id"].to_bytes(4, "big", signed=True) + digest).digest()

# 3. Seats of each stratum: the whole part of its share, and one more by systematic selection over the fractions.
def chance(what, of=b""):
    return hmac.new(seed, what.encode() + of, hashlib.sha256).digest()

key = {"none": lambda v: 0, "booth": lambda v: v["booth_id"], "worker": lambda v: v["worker_id"]}[draw["strata"]]
strata = {}
for v in frame:
    strata.setdefault(key(v), []).append((chance("visit", uuid.UUID(v["visit_id"]).bytes), v["visit_id"]))
total, end, drawn = len(frame), 0, []
start = int.from_bytes(chance("start")[:8], "big") % total
points_before = lambda x: max(0, -((start - x) // total))
for _, stratum in sorted((chance("stratum", s.to_bytes(4, "big", signed=True)), s) for s in strata):
    share = draw["size"] * len(strata[stratum])
    begin, end = end, end + share % total
    seats = share // total + points_before(end) - points_before(begin)
    # 4. In each stratum, the visits with the smallest lots.
    drawn += sorted(strata[stratum])[:seats]
made = [visit for _, visit in sorted(drawn)]

kept = [item["visit_id"] for item in draw["items"]]
checks = [("digest", base64.b64encode(digest).decode() == draw["frame_digest"]),
          ("seed", base64.b64encode(seed).decode() == draw["seed"]["seed"]), ("visits", made == kept)]
for name, same in checks:
    print(f"{name}: {'as on record' if same else 'NOT as on record'}")
sys.exit(0 if all(same for _, same in checks) else 1)
