#!/usr/bin/perl
# AnyEvent::Fork::RPC with EV: VARIANT WORKLOAD quick|full, like the peers in Rust.
# VARIANT: sync or async, then nothing, -json, -cbor, or -tmpl: each child
# forked from a template process that has the modules loaded already.
# Where the modules are not installed, PERL5LIB says where they are.
use strict;
use warnings;
use EV;
use AnyEvent;
use AnyEvent::Fork;
use AnyEvent::Fork::RPC;
use POSIX ();
use Time::HiRes qw(clock_gettime sleep);

my ($variant, $workload, $mode) = @ARGV;
alarm 120;
my $full = $mode eq "full";
my ($backend, $ser) = split /-/, $variant;
my $async = $backend eq "async" ? 1 : 0;
my $tmpl = $ser && $ser eq "tmpl";
$ser = "string" if !$ser || $tmpl;

my $serialiser = {
   string => $AnyEvent::Fork::RPC::STRING_SERIALISER,
   json   => $AnyEvent::Fork::RPC::JSON_SERIALISER,
   cbor   => 'use CBOR::XS (); (sub { CBOR::XS::encode_cbor_sharing \@_ }, sub { @{ CBOR::XS::decode_cbor shift } })',
}->{$ser} or die;

sub put { printf "%s,%s,%.4f\n", @_ }

my $code = <<'CHILD';
sub serve_sync { $_[0] eq "\x00pid" ? $$ : $_[0] }
sub serve_async {
   my ($done, $x) = @_;
   if ($x eq "\x00pid") { $done->($$) }
   elsif ($x =~ /^\x00nap(\d+)/) { my $ms = $1; my $w; $w = AE::timer ($ms * 1e-3, 0, sub { undef $w; $done->(1) }) }
   else { $done->($x) }
}
CHILD

my $template;
sub fresh { AnyEvent::Fork->new->require ("AnyEvent::Fork::RPC::" . ($async ? "Async" : "Sync"))->eval ($code) }
sub start {
   my $end = AE::cv;
   my $f = $tmpl ? ($template ||= fresh)->fork : fresh;
   my $rpc = $f->AnyEvent::Fork::RPC::run (
      $async ? "serve_async" : "serve_sync",
      async      => $async,
      serialiser => $serialiser,
      on_error   => sub { die "rpc error: $_[0]" },
      on_destroy => $end,
   );
   ($rpc, $end)
}

# AnyEvent's cv->recv blocks in the loop until the answer is there.
sub rtt {
   my ($rpc, $n, @payload) = @_;
   my $r;
   for (1 .. $n) {
      $rpc->(@payload, my $cv = AE::cv);
      $r = $cv->recv;
   }
   $r
}

sub pipe_n {
   my ($rpc, $n, $win, $payload) = @_;
   my ($sent, $got) = (0, 0);
   my $cv = AE::cv;
   my $cb; $cb = sub {
      ++$got;
      if ($sent < $n) { ++$sent; $rpc->($payload, $cb) }
      elsif ($got == $n) { $cv->send }
   };
   while ($sent < $n && $sent < $win) { ++$sent; $rpc->($payload, $cb) }
   $cv->recv;
   undef $cb;
}

sub cpu_of($) { clock_gettime (-8 * ($_[0] + 1) + 2) }
sub cpu_self() { clock_gettime (2) }
sub now() { clock_gettime (1) }

my $p32 = join "", map chr, 0 .. 31;

sub slurp { open my $f, "<", $_[0] or die "$_[0]: $!"; local $/; <$f> }

sub finish { my $end = $_[1]; undef $_[0]; $end->recv }

if ($workload =~ /^rtt32/) {
   my $n = $ENV{RTT_N} || ($full ? 20000 : 5000);
   my ($rpc, $end) = start;
   my $pid = rtt $rpc, 1, "\x00pid";
   rtt $rpc, $full ? 2000 : 500, $p32;
   my ($c0, $c1, $t) = (cpu_self, cpu_of ($pid), now);
   my $r = rtt $rpc, $n, $p32;
   put $workload => us => (now - $t) * 1e6 / $n;
   my ($a, $b) = ((cpu_self () - $c0) * 1e6 / $n, (cpu_of ($pid) - $c1) * 1e6 / $n);
   die unless $r eq $p32;
   put $workload => cpu_us => $a + $b;
   put $workload => cpu_parent_us => $a;
   put $workload => cpu_child_us => $b;
   finish $rpc, $end;
} elsif ($workload =~ /^pipe32(u?)$/) {
   my $n = $ENV{PIPE_N} || ($full ? 200000 : 20000);
   my $win = $workload =~ /u$/ ? 1e12 : 1024;
   my ($rpc, $end) = start;
   my $pid = rtt $rpc, 1, "\x00pid";
   pipe_n $rpc, 5000, 1024, $p32;
   my ($c0, $c1, $t) = (cpu_self, cpu_of ($pid), now);
   pipe_n $rpc, $n, $win, $p32;
   put $workload => calls_s => $n / (now - $t);
   put $workload => cpu_us => (cpu_self () - $c0 + cpu_of ($pid) - $c1) * 1e6 / $n;
   finish $rpc, $end;
} elsif ($workload =~ /^bulk(\d+)m$/) {
   my $size = $1 << 20;
   my $n = $1 == 1 ? ($full ? 200 : 30) : ($full ? 16 : 4);
   my $p = $p32 x ($size / 32);
   my ($rpc, $end) = start;
   rtt $rpc, 2, $p;
   my $t = now;
   my $r = rtt $rpc, $n, $p;
   put $workload => gib_s => $n * $size / (1 << 30) / (now - $t);
   die unless length $r == $size;
   finish $rpc, $end;
} elsif ($workload =~ /^(?:spawn|fork)/) {
   my $n = $ENV{SPAWN_N} || ($full ? 100 : 15);
   my $heap = "";
   if ($workload =~ /_big$/) { $heap = "x" x (2 << 30) }
   # new: AnyEvent::Fork->new (fork of a template process which is exec'ed
   # once, at the first use). The process is reaped by the template.
   my @v;
   for my $i (-3 .. $n - 1) {
      my $t = now;
      my ($rpc, $end) = start;
      rtt $rpc, 1, $p32;
      finish $rpc, $end;
      push @v, (now - $t) * 1e3 if $i >= 0;
   }
   my $s = 0; $s += $_ for @v;
   @v = sort { $a <=> $b } @v;
   put $workload => ms => $s / $n;
   put $workload => p50_ms => $v[$n / 2];
} elsif ($workload eq "idle") {
   my ($rpc, $end) = start;
   my $pid = rtt $rpc, 1, "\x00pid";
   rtt $rpc, 1000, $p32;
   sleep 0.05;
   my $t = slurp "/proc/$pid/smaps_rollup";
   for (["Rss", "rss_kib"], ["Pss", "pss_kib"], ["Private_Dirty", "private_dirty_kib"]) {
      $t =~ /^$_->[0]:\s+(\d+)/m;
      put idle => $_->[1] => $1;
   }
   my @t = glob "/proc/$pid/task/*";
   put idle => threads => scalar @t;
   finish $rpc, $end;
} elsif ($workload eq "struct") {
   my $v = [ map {
      my $i = $_;
      {
         id => 1000000007 * ($i + 1), name => (sprintf "record-name-%04d", $i),
         score => $i * 1.6180339887 + 0.25, tags => [(sprintf "tag%02d", $i), "alpha", "beta"],
         active => ($i % 2 == 0 ? \1 : \0),
         blob => (join "", map chr (($i * 7 + $_ * 13) & 255), 0 .. 63),
      }
   } 0 .. 63 ];
   if ($ser eq "cbor") {
      require Types::Serialiser;
      $_->{active} = ${ $_->{active} } ? Types::Serialiser::true () : Types::Serialiser::false () for @$v;
   }
   my $n = $ENV{STRUCT_N} || ($full ? 3000 : 300);
   my ($rpc, $end) = start;
   rtt $rpc, $n / 10, $v;
   my $t = now;
   my $r = rtt $rpc, $n, $v;
   put struct => calls_s => $n / (now - $t);
   die unless $r->[63]{blob} eq $v->[63]{blob};
   finish $rpc, $end;
} elsif ($workload eq "sleepers") {
   my $n = $full ? 10000 : 1000;
   my ($rpc, $end) = start;
   my $pid = rtt $rpc, 1, "\x00pid";
   rtt $rpc, 10, $p32;
   my $left = $n;
   my $cv = AE::cv;
   my $t = now;
   $rpc->("\x00nap100", sub { --$left or $cv->send }) for 1 .. $n;
   $cv->recv;
   put sleepers => s => now - $t;
   (slurp "/proc/$pid/status") =~ /^VmHWM:\s+(\d+)/m;
   put sleepers => peak_rss_kib => $1;
   finish $rpc, $end;
} else {
   die "unknown workload $workload\n";
}
