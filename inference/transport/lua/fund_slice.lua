-- A budget slice has been granted more. Its totals only grow, so a push that comes twice or late adds nothing twice.
--
-- KEYS  epoch, slice
-- ARGV  the epoch that the slice is of, what was granted to it in all
--
-- Answers what is left in it, or -1 when this Redis is not the one that has it.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return -1
end
local more = tonumber(ARGV[2]) - tonumber(redis.call('HGET', KEYS[2], 'granted') or '0')
if more > 0 then
  redis.call('HSET', KEYS[2], 'granted', ARGV[2])
  redis.call('HINCRBY', KEYS[2], 'left', string.format('%d', more))
end
return tonumber(redis.call('HGET', KEYS[2], 'left') or '0')
