-- Says that a replica lives, or that it ends, and counts those that do.
local now = tonumber(redis.call('TIME')[1])
if ARGV[2] == '1' then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[3] * 2)
return redis.call('ZCARD', KEYS[1])
