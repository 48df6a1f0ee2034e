-- Draws from all buckets or, if one of them has not enough, from none. A bucket is kept as the time at which it is full
-- again, in microseconds since 1970 and nanoseconds, by the clock of this server; one that is not kept is full.
-- Of each: what the draw costs, the window, and how far from full it is at least, in nanoseconds.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer = { 1 }
for at, kept in ipairs(redis.call('MGET', unpack(KEYS))) do
  local debt = tonumber(ARGV[at * 3])
  if kept then
    local micros, nanos = string.match(kept, '^(%d+) (%d+)$')
    debt = math.max(debt, (micros - now) * 1000 + nanos)
  end
  answer[at + 1] = debt
  if debt + ARGV[at * 3 - 2] > tonumber(ARGV[at * 3 - 1]) then
    answer[1] = 0
  end
end
if answer[1] == 1 then
  for at, key in ipairs(KEYS) do
    local debt = answer[at + 1] + ARGV[at * 3 - 2]
    local full = string.format('%.0f %.0f', now + math.floor(debt / 1000), debt % 1000)
    redis.call('SET', key, full, 'PX', math.ceil(debt / 1000000))
  end
end
return answer
