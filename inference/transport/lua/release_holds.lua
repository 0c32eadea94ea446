-- Tasks have ended: what was held for each and it did not use is left in its budget slice again. Once for each task,
-- whoever says it first: the queen that had its END, or the one that booked its receipt.
--
-- KEYS  slice of each task
-- ARGV  for each: task, what it paid

for i = 1, #KEYS do
  local field = 't:' .. ARGV[2 * i - 1]
  local hold = redis.call('HGET', KEYS[i], field)
  if hold then
    redis.call('HDEL', KEYS[i], field)
    redis.call('HINCRBY', KEYS[i], 'used', ARGV[2 * i])
    redis.call('HINCRBY', KEYS[i], 'left', string.format('%d', tonumber(hold) - tonumber(ARGV[2 * i])))
  end
end
