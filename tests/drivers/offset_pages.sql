-- Each row that a page skips costs some work, so that the depth of a page outweighs what else the machine does.
alter table events rename to event_rows;
create view events as select * from event_rows where md5(repeat(device, 5)) <> '';
